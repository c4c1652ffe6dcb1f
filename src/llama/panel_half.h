/* panel_half.h - panels (panel.h) of weights that are 16-bit floats: of each
 * column the 16 rows' numbers lie side by side. The activations stay 32-bit
 * floats. By AVX-512. */
#pragma once
#include <stddef.h>

/* As panel_pack() and panel_multiply(); n is any number. */
void panel_half_pack(size_t n, const void *rows, void *panel);
void panel_half_multiply(size_t n, const void *panels, size_t n_panels,
			 const float *tokens, size_t n_tokens, float *out,
			 size_t stride);
