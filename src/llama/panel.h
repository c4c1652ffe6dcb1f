/* panel.h - products of quantized weights and the activations of many tokens.
 *
 * On x86 ggml multiplies weights of most of the types named here one row by one
 * token at a time: eight tokens cost eight times what one does. Here 16 rows of
 * weights lie side by side, a panel, and what is unpacked of it is used for up
 * to eight tokens. A panel takes as many bytes as its rows did.
 *
 * What comes of one token does not depend on how many others are multiplied
 * with it, nor on the way: the same operations in the same order. Without
 * state; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	PANEL_ROWS = 16,
	PANEL_BLOCK = 32, /* neighbours that share a scale, mostly */
};

/* ggml's types. A weight is d * q + m, where q has 4, 5, 6 or 8 bits and begins
 * at 0; the 16-bit floats d and m are of a block. With _K there is one d and
 * one m for 256 neighbours, times small whole numbers for each block of 32
 * (Q6_K: of 16). */
enum panel_type {
	PANEL_Q4_0, /* m is -8 d */
	PANEL_Q4_1,
	PANEL_Q5_0, /* -16 d */
	PANEL_Q5_1,
	PANEL_Q8_0, /* -128 d */
	PANEL_Q4_K,
	PANEL_Q5_K,
	PANEL_Q6_K, /* -32 d */
	PANEL_F16,  /* just 16-bit floats */
};

/* How a processor multiplies: by AVX2 (Haswell to Zen 3), by AVX-VNNI (from
 * Alder Lake and Zen 5 on), or by AVX-512 with VNNI. */
enum panel_way {
	PANEL_NONE,
	PANEL_AVX2,
	PANEL_VNNI,
	PANEL_AVX512,
};
/* Can this machine's? No other way may be given to panel_multiply(). */
bool panel_can(enum panel_way way);
/* The best that it can; PANEL_NONE: then panel_quantize() may not be called. */
enum panel_way panel_way(void);
/* Is it done for this type? All are but floats, by AVX-512 only: ggml's own
 * products of them by AVX2 take many tokens at a time. */
bool panel_suits(enum panel_way way, enum panel_type type);

/* Of a panel of n columns, which are a multiple of 32, with _K of 256, and with
 * floats any number. */
size_t panel_bytes(enum panel_type type, size_t n);

/* Packs 16 rows of n weights that lie one behind the other as ggml stores them,
 * into as many bytes. */
void panel_pack(enum panel_type type, size_t n, const void *rows, void *panel);

/* What n activations take as they are multiplied with weights of this type, in
 * bytes: as 8-bit numbers with a scale for each 32, which is rounded up to a
 * multiple of 64, and with floats as floats. */
size_t panel_token_bytes(enum panel_type type, size_t n);
/* Makes them of the blocks of x from `first` up to `end`, the last of which may
 * be cut short; `token` is aligned as floats are. */
void panel_quantize(enum panel_type type, const float *x, size_t n,
		    size_t first, size_t end, void *token);

/* Multiplies panels of n columns with tokens, both one behind the other: of
 * each panel 16 numbers, from out[i * stride] on for token i. */
void panel_multiply(enum panel_way way, enum panel_type type, size_t n,
		    const void *panels, size_t n_panels, const void *tokens,
		    size_t n_tokens, float *out, size_t stride);

#ifdef __cplusplus
}
#endif
