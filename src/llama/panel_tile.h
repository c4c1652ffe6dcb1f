/* panel_tile.h - products of panels by registers of 256 bits: what a file for
 * one kind of processor is made of, which has before
 *
 *   TARGET          its instructions, as an attribute
 *   PREFIX(name)    the file's name before another
 *   n_halves_of()   halves of a panel at a time that it does best, with several
 *                   tokens
 *   starts_with()   do sums begin at what the token has for that?
 *   add_products()  adds those of some groups of a block to sums of each half
 *                   and token
 *
 * What is given to them is a constant wherever it is expanded, but for the
 * block and the tokens. */
#include "llama/panel_256.h"

TARGET INLINE void add_part(const struct panel_256_tile *at, size_t part,
			    const struct panel_256_scales *of,
			    const struct panel_token *t,
			    __m256 (*sum)[PANEL_256_TOKENS])
{
	const size_t n = PANEL_GROUPS / at->s->n_scales;
	__m256i acc[2][PANEL_256_TOKENS];
	UNROLL for (size_t h = 0; h < at->n_halves; h++)
		UNROLL for (size_t i = 0; i < at->n_tokens; i++)
	{
		const int32_t *start = t[i].start + at->b * at->s->n_scales;
		acc[h][i] = starts_with(at->s) ? _mm256_set1_epi32(start[part])
					       : _mm256_setzero_si256();
	}
	add_products(at, n * part, n * part + n, t, acc);
	UNROLL for (size_t h = 0; h < at->n_halves; h++)
		UNROLL for (size_t i = 0; i < at->n_tokens; i++)
	{
		__m256 scale = _mm256_set1_ps(t[i].scale[at->b]);
		sum[h][i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[h][i]),
					    _mm256_mul_ps(of[h].d[part], scale),
					    sum[h][i]);
	}
}

TARGET INLINE void add_block(const struct panel_256_tile *at,
			     const struct panel_token *t,
			     __m256 (*sum)[PANEL_256_TOKENS])
{
	struct panel_256_scales of[2];
	UNROLL for (size_t h = 0; h < at->n_halves; h++)
	{
		of[h] = panel_256_scales(at, h);
	}
	if (at->s->has_min)
		UNROLL for (size_t h = 0; h < at->n_halves; h++)
			UNROLL for (size_t i = 0; i < at->n_tokens; i++)
		{
			sum[h][i] = _mm256_fmadd_ps(
				of[h].m, _mm256_set1_ps(t[i].total[at->b]),
				sum[h][i]);
		}
	UNROLL for (size_t part = 0; part < at->s->n_scales; part++)
	{
		add_part(at, part, of, t, sum);
	}
}

TARGET INLINE void tile(const struct panel_shape *s, const struct panel_work *w,
			size_t first, size_t n_tokens, size_t half,
			size_t n_halves)
{
	struct panel_256_tile at = {
		.s = s, .half = half, .n_halves = n_halves, .n_tokens = n_tokens
	};
	const uint8_t *p = w->panel;
	struct panel_token t[PANEL_256_TOKENS];
	__m256 sum[2][PANEL_256_TOKENS];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		t[i] = panel_token_at(w->tokens + (first + i) * w->token_bytes,
				      w->n);
		sum[0][i] = sum[1][i] = _mm256_setzero_ps();
	}
	while (at.b < w->n / PANEL_BLOCK) {
		at.head = p;
		p += panel_head_bytes(s);
		for (at.k = 0; at.k < s->n_blocks; at.k++, at.b++) {
			at.block = p;
			add_block(&at, t, sum);
			p += panel_block_bytes(s);
		}
	}
	UNROLL for (size_t h = 0; h < n_halves; h++)
		UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		_mm256_storeu_ps(w->out + (first + i) * w->stride +
					 8 * (half + h),
				 sum[h][i]);
	}
}

TARGET INLINE void multiply(const struct panel_shape *s,
			    const struct panel_work *w)
{
	const size_t n = n_halves_of(s);
	size_t i = 0;
	for (; i + 4 <= w->n_tokens; i += 4)
		for (size_t half = 0; half < 2; half += n)
			tile(s, w, i, 4, half, n);
	for (; i + 2 <= w->n_tokens; i += 2)
		for (size_t half = 0; half < 2; half += n)
			tile(s, w, i, 2, half, n);
	if (i < w->n_tokens)
		tile(s, w, i, 1, 0, 2);
}

#define MULTIPLY(type)                                                 \
	TARGET static void multiply_##type(const struct panel_work *w) \
	{                                                              \
		multiply(&panel_shapes[PANEL_##type], w);              \
	}
PANEL_TYPES(MULTIPLY)

void PREFIX(multiply)(enum panel_type type, const struct panel_work *w)
{
#define CASE(type)                  \
	case PANEL_##type:          \
		multiply_##type(w); \
		break;
	switch (type) {
		PANEL_TYPES(CASE)
	case PANEL_F16: /* ggml's */
		break;
	}
}
