/* panel_256.h - what a panel (panel_shape.h) holds, in registers of 256 bits:
 * of 8 of its rows, the first or the second half. By AVX2. */
#pragma once
#include "llama/panel_dot.h"
#include "llama/panel_shape.h"

enum {
	PANEL_256_TOKENS = 4, /* most at a time */
};

/* A block of a panel, of which some halves are multiplied. */
struct panel_256_tile {
	const struct panel_shape *s;
	size_t half, n_halves; /* the first, and how many */
	size_t n_tokens;
	const uint8_t *head, *block;
	size_t k, b; /* which it is, of its head and of the panel */
};

/* Shifted numbers of 8 bits, of which some bits are wanted. */
AVX2 INLINE __m256i panel_256_bits(const uint8_t *p, int shift, int mask)
{
	__m256i v = _mm256_loadu_si256((const void *)p);
	if (shift)
		v = _mm256_srli_epi16(v, shift);
	return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}

/* The q of group g, of half h of the tile's. */
AVX2 INLINE __m256i panel_256_q(const struct panel_256_tile *at, size_t g,
				size_t h)
{
	const int bits = at->s->bits;
	const uint8_t *p = at->block + 32 * (at->half + h);
	if (bits == 8)
		return _mm256_loadu_si256((const void *)(p + 64 * g));
	if (g < PANEL_GROUPS / 2)
		return panel_256_bits(p + 64 * g, 0, (1 << bits) - 1);
	g -= PANEL_GROUPS / 2;
	__m256i most = panel_256_bits(p + 64 * g, 8 - bits,
				      (1 << bits) - (1 << (2 * bits - 8)));
	p += PANEL_AT_REST;
	switch (bits) {
	case 5:
		return _mm256_or_si256(most, panel_256_bits(p, 2 * (int)g, 3));
	case 6:
		return _mm256_or_si256(
			most,
			panel_256_bits(p + 64 * (g / 2), 4 * (int)(g % 2), 15));
	default:
		return most;
	}
}

/* What a token has for group g of each row. */
AVX2 INLINE __m256i panel_256_four(const struct panel_256_tile *at,
				   const struct panel_token *t, size_t g)
{
	return _mm256_set1_epi32(
		panel_four_of(t->q + at->b * PANEL_BLOCK + 4 * g));
}

/* What the q of a block, or of each half of its columns, are multiplied with,
 * and their minimum. */
struct panel_256_scales {
	__m256 d[2], m;
};

AVX2 INLINE __m256 panel_256_halves(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

/* 8 of 16 bytes. */
AVX2 INLINE __m256 panel_256_floats(__m128i bytes, size_t half)
{
	if (half)
		bytes = _mm_srli_si128(bytes, 8);
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

AVX2 INLINE struct panel_256_scales panel_256_scales(
	const struct panel_256_tile *at, size_t h)
{
	const struct panel_shape *s = at->s;
	const size_t half = at->half + h;
	const uint8_t *bytes = at->head + panel_at_scales(s);
	struct panel_256_scales out = { .d = { panel_256_halves(at->head +
								16 * half) } };
	if (s->has_min)
		out.m = panel_256_halves(at->head + 2 * PANEL_ROWS + 16 * half);
	if (s->n_blocks == 1)
		return out;
	if (s->has_min) {
		__m128i d, m;
		panel_six_bits(bytes, at->k, &d, &m);
		out.d[0] = _mm256_mul_ps(out.d[0], panel_256_floats(d, half));
		out.m = _mm256_mul_ps(out.m,
				      _mm256_sub_ps(_mm256_setzero_ps(),
						    panel_256_floats(m, half)));
		return out;
	}
	bytes += PANEL_ROWS * s->n_scales * at->k + 8 * half;
	for (size_t i = s->n_scales; i-- > 0;) {
		__m128i v =
			_mm_loadl_epi64((const void *)(bytes + PANEL_ROWS * i));
		out.d[i] = _mm256_mul_ps(
			out.d[0], _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)));
	}
	return out;
}
