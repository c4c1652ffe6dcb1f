/* gelu.h - the Gaussian error linear unit, as ggml has it: by tanh. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Can it be done here? ggml looks each number up in a table of 16-bit floats;
 * by AVX-512 it is computed, 16 at a time. */
bool gelu_is_possible(void);
void gelu(const float *x, size_t n, float *out);

#ifdef __cplusplus
}
#endif
