/* float_text.h - a float in decimal, by C++'s std::to_chars: C has only printf,
 * which takes eight times as long and writes more digits than it needs. */
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FLOAT_TEXT = 16 };

/* The shortest text that reads back as v, which is finite; a JSON number
 * (RFC 8259, section 6). Gives its length; no NUL. */
size_t float_text(float v, char out[FLOAT_TEXT]);

#ifdef __cplusplus
}
#endif
