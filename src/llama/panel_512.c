#include "llama/panel_shape.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni,f16c")))

struct pair {
	__m512i x, y;
};

/* (a & b) | c */
AVX512 INLINE __m512i and_or(__m512i a, __m512i b, __m512i c)
{
	return _mm512_ternarylogic_epi32(a, b, c, 0xea);
}

/* The q of the groups g and g + 4 of all rows. */
AVX512 INLINE struct pair unpack(const struct panel_shape *s, const uint8_t *p,
				 size_t g)
{
	__m512i v = _mm512_loadu_si512(p + 64 * g), rest, x;
	switch (s->bits) {
	case 4:
		x = _mm512_set1_epi8(15);
		return (struct pair){
			_mm512_and_si512(v, x),
			_mm512_and_si512(_mm512_srli_epi16(v, 4), x),
		};
	case 5:
		rest = _mm512_loadu_si512(p + PANEL_AT_REST);
		rest = _mm512_srl_epi16(rest, _mm_cvtsi32_si128(2 * (int)g));
		rest = _mm512_and_si512(rest, _mm512_set1_epi8(3));
		return (struct pair){
			_mm512_and_si512(v, _mm512_set1_epi8(31)),
			and_or(_mm512_srli_epi16(v, 3), _mm512_set1_epi8(28),
			       rest),
		};
	case 6:
		rest = _mm512_loadu_si512(p + PANEL_AT_REST + 64 * (g / 2));
		if (g % 2)
			rest = _mm512_srli_epi16(rest, 4);
		rest = _mm512_and_si512(rest, _mm512_set1_epi8(15));
		return (struct pair){
			_mm512_and_si512(v, _mm512_set1_epi8(63)),
			and_or(_mm512_srli_epi16(v, 2), _mm512_set1_epi8(48),
			       rest),
		};
	default:
		return (struct pair){ v, _mm512_loadu_si512(p + 64 * (g + 4)) };
	}
}

/* What the q of all rows in a block, or in each half of it, are multiplied
 * with, and their minimum. */
struct scales {
	__m512 d[2], m;
};

AVX512 INLINE __m512 halves(const uint8_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

AVX512 INLINE __m512 floats(__m128i bytes)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

AVX512 INLINE struct scales scales_of_six(const uint8_t *head,
					  const uint8_t *bytes, size_t k)
{
	__m128i d, m;
	panel_six_bits(bytes, k, &d, &m);
	struct scales out = {
		.d = { _mm512_mul_ps(halves(head), floats(d)) },
	};
	out.m = _mm512_mul_ps(halves(head + 2 * PANEL_ROWS),
			      _mm512_sub_ps(_mm512_setzero_ps(), floats(m)));
	return out;
}

AVX512 INLINE struct scales scales(const struct panel_shape *s,
				   const uint8_t *head, size_t k)
{
	const uint8_t *bytes = head + panel_at_scales(s);
	if (s->n_blocks > 1 && s->has_min)
		return scales_of_six(head, bytes, k);
	struct scales out = { .d = { halves(head) } };
	if (s->has_min)
		out.m = halves(head + 2 * PANEL_ROWS);
	for (size_t i = s->n_scales; s->n_blocks > 1 && i-- > 0;) {
		__m128i v = _mm_loadu_si128(
			(const void *)(bytes +
				       PANEL_ROWS * (s->n_scales * k + i)));
		out.d[i] = _mm512_mul_ps(
			out.d[0], _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v)));
	}
	return out;
}

/* Adds block b of the panel, the k-th of its head; `n_tokens` is a constant
 * wherever this is expanded. */
AVX512 INLINE void add_block(const struct panel_shape *s, const uint8_t *head,
			     size_t k, const uint8_t *p,
			     const struct panel_token *t, size_t b,
			     size_t n_tokens, __m512 *sum)
{
	const size_t second = s->n_scales - 1;
	__m512i acc[2][8];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		const int32_t *start = t[i].start + b * s->n_scales;
		acc[0][i] = s->has_min ? _mm512_setzero_si512()
				       : _mm512_set1_epi32(start[0]);
		if (second)
			acc[1][i] = _mm512_set1_epi32(start[1]);
	}
	UNROLL for (size_t g = 0; g < PANEL_GROUPS / 2; g++)
	{
		struct pair of = unpack(s, p, g);
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			const int8_t *q = t[i].q + b * PANEL_BLOCK + 4 * g;
			acc[0][i] = _mm512_dpbusd_epi32(
				acc[0][i], of.x,
				_mm512_set1_epi32(panel_four_of(q)));
			acc[second][i] = _mm512_dpbusd_epi32(
				acc[second][i], of.y,
				_mm512_set1_epi32(panel_four_of(q + 16)));
		}
	}
	struct scales of = scales(s, head, k);
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		__m512 scale = _mm512_set1_ps(t[i].scale[b]);
		if (s->has_min)
			sum[i] = _mm512_fmadd_ps(
				of.m, _mm512_set1_ps(t[i].total[b]), sum[i]);
		for (size_t j = 0; j <= second; j++)
			sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[j][i]),
						 _mm512_mul_ps(of.d[j], scale),
						 sum[i]);
	}
}

AVX512 INLINE void tile(const struct panel_shape *s, const struct panel_work *w,
			size_t first, size_t n_tokens)
{
	const uint8_t *p = w->panel;
	struct panel_token t[8];
	__m512 sum[8];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		t[i] = panel_token_at(w->tokens + (first + i) * w->token_bytes,
				      w->n);
		sum[i] = _mm512_setzero_ps();
	}
	for (size_t b = 0; b < w->n / PANEL_BLOCK; b += s->n_blocks) {
		const uint8_t *head = p;
		p += panel_head_bytes(s);
		for (size_t k = 0; k < s->n_blocks; k++) {
			add_block(s, head, k, p, t, b + k, n_tokens, sum);
			p += panel_block_bytes(s);
		}
	}
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		_mm512_storeu_ps(w->out + (first + i) * w->stride, sum[i]);
	}
}

AVX512 INLINE void multiply(const struct panel_shape *s,
			    const struct panel_work *w)
{
	size_t i = 0;
	for (; i + 8 <= w->n_tokens; i += 8)
		tile(s, w, i, 8);
	for (; i + 4 <= w->n_tokens; i += 4)
		tile(s, w, i, 4);
	for (; i + 2 <= w->n_tokens; i += 2)
		tile(s, w, i, 2);
	if (i < w->n_tokens)
		tile(s, w, i, 1);
}

#define MULTIPLY(type)                                                 \
	AVX512 static void multiply_##type(const struct panel_work *w) \
	{                                                              \
		multiply(&panel_shapes[PANEL_##type], w);              \
	}
PANEL_TYPES(MULTIPLY)

void panel_512_multiply(enum panel_type type, const struct panel_work *w)
{
#define CASE(type)                  \
	case PANEL_##type:          \
		multiply_##type(w); \
		break;
	switch (type) {
		PANEL_TYPES(CASE)
	case PANEL_F16: /* panel_half.h */
		break;
	}
}
#endif
