/* panel_shape.h - how a panel (panel.h) of quantized weights lies in memory,
 * and the tokens that are multiplied with it. For the panel's own files.
 *
 * A panel is a row of heads, each followed by the 1 or 8 blocks that share it.
 * A head holds of its 16 rows
 *
 *   d        16 halves
 *   m        16 halves, if the type has a minimum
 *   scales   with 8 blocks: what ggml has there, byte by byte of all rows: 6
 *            bits for d and 6 for m of each block in 12 bytes, or 16 numbers
 *            of 8 bits, one for each half of a block
 *
 * and a block
 *
 *   q     4 times 64 bytes: whole numbers of the groups 0 to 3, and above them
 *         in their bytes as much as fits of the groups 4 to 7, from the top
 *   rest  of the groups 4 to 7: with 5 bits two in 64 bytes, those of group 4
 *         lowest; with 6 bits four in 2 times 64 bytes, the first for the
 *         groups 4 and 5, the second for 6 and 7
 *         or, with 8 bits, just 8 times 64 bytes
 *
 * where group g of a block is its weights 4g to 4g+3, and has 4 bytes for
 * each row: as an instruction that adds up four products wants them. */
#pragma once
#include "llama/panel.h"
#include "llama/simd.h"

enum {
	PANEL_GROUPS = 8,
	PANEL_AT_REST = PANEL_ROWS * PANEL_BLOCK / 2, /* in a block */
};

struct panel_shape {
	size_t n_blocks; /* that share a head */
	size_t n_scales; /* for a block without minimum: 1, or one each half */
	int bits;
	bool has_min;
	int start; /* without: where q begins */
};

static const struct panel_shape panel_shapes[] = {
	[PANEL_Q4_0] = { 1, 1, 4, .start = -8 },
	[PANEL_Q4_1] = { 1, 1, 4, .has_min = true },
	[PANEL_Q5_0] = { 1, 1, 5, .start = -16 },
	[PANEL_Q5_1] = { 1, 1, 5, .has_min = true },
	[PANEL_Q8_0] = { 1, 1, 8, .start = -128 },
	[PANEL_Q4_K] = { 8, 1, 4, .has_min = true },
	[PANEL_Q5_K] = { 8, 1, 5, .has_min = true },
	[PANEL_Q6_K] = { 8, 2, 6, .start = -32 },
};

/* For a program of each type, with its shape's numbers in it. */
#define PANEL_TYPES(x) \
	x(Q4_0) x(Q4_1) x(Q5_0) x(Q5_1) x(Q8_0) x(Q4_K) x(Q5_K) x(Q6_K)

INLINE size_t panel_at_scales(const struct panel_shape *s)
{
	return (s->has_min ? 4u : 2u) * PANEL_ROWS;
}

INLINE size_t panel_head_bytes(const struct panel_shape *s)
{
	size_t scales = s->n_blocks == 1 ? 0 : s->has_min ? 12 : 16;
	return panel_at_scales(s) + scales * PANEL_ROWS;
}

INLINE size_t panel_block_bytes(const struct panel_shape *s)
{
	return PANEL_ROWS * PANEL_BLOCK * (size_t)s->bits / 8;
}

/* A token: n numbers of 8 bits; then of each block its scale; and what the
 * weights' minimum is multiplied with, or for each scale of theirs what `start`
 * makes of the numbers. */
struct panel_token {
	int8_t *q;
	float *scale;
	float *total;
	int32_t *start;
};

INLINE struct panel_token panel_token_at(const void *bytes, size_t n)
{
	int8_t *q = (int8_t *)bytes;
	float *scale = (float *)(void *)(q + n);
	float *total = scale + n / PANEL_BLOCK;
	return (struct panel_token){ q, scale, total, (void *)total };
}

/* A panel, and the tokens to multiply it with. */
struct panel_work {
	size_t n;
	const uint8_t *panel;
	const uint8_t *tokens;
	size_t token_bytes;
	size_t n_tokens;
	float *out;
	size_t stride;
};

/* Four numbers, to be multiplied with a group of each row. */
INLINE int32_t panel_four_of(const int8_t *q)
{
	int32_t v;
	__builtin_memcpy(&v, q, sizeof v);
	return v;
}

#ifdef __x86_64__
/* The 6 bits of d and m of block k, for all rows: ggml has the first four
 * whole, and the last in nibbles and in the two bits that the first do not
 * need. */
INLINE void panel_six_bits(const uint8_t *bytes, size_t k, __m128i *d,
			   __m128i *m)
{
	const __m128i *v = (const void *)bytes;
	const __m128i low = _mm_set1_epi8(15), high = _mm_set1_epi8(0x30);
	__m128i a = _mm_loadu_si128(v + k), b = _mm_loadu_si128(v + k + 4);
	if (k < 4) {
		*d = _mm_and_si128(a, _mm_set1_epi8(63));
		*m = _mm_and_si128(b, _mm_set1_epi8(63));
		return;
	}
	__m128i first = _mm_loadu_si128(v + k - 4);
	*d = _mm_or_si128(_mm_and_si128(b, low),
			  _mm_and_si128(_mm_srli_epi16(first, 2), high));
	*m = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(b, 4), low),
			  _mm_and_si128(_mm_srli_epi16(a, 2), high));
}
#endif

/* panel_512.c, panel_vnni.c, panel_avx2.c */
void panel_512_multiply(enum panel_type type, const struct panel_work *w);
void panel_vnni_multiply(enum panel_type type, const struct panel_work *w);
void panel_avx2_multiply(enum panel_type type, const struct panel_work *w);
