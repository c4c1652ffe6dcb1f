/* panel_weights.h - has ggml's CPU backend multiply by panels (panel.h): a type
 * of buffer for weights, beside those ggml has itself. llama.cpp puts a matrix
 * there if it has 16n rows, one of the types of panel.h, and is only ever
 * multiplied with. */
#pragma once
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Before the first model is loaded; the backends are there already. False, and
 * nothing is changed: the processor or the build of ggml cannot do it. */
bool panel_weights_register(void);

#ifdef __cplusplus
}
#endif
