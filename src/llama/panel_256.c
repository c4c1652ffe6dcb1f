#include "llama/panel_shape.h"

#ifdef __x86_64__
#include "llama/panel_dot.h"

#include <string.h>

/* Bytes of 16 where a bit of 32 is set. */
AVX2 INLINE __m256i fifth_bits(uint32_t bits)
{
	const __m256i each = _mm256_set1_epi64x((int64_t)0x8040201008040201);
	const __m256i spread = _mm256_setr_epi64x(
		0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
	__m256i v =
		_mm256_shuffle_epi8(_mm256_set1_epi32((int32_t)bits), spread);
	v = _mm256_cmpeq_epi8(_mm256_and_si256(v, each), each);
	return _mm256_and_si256(v, _mm256_set1_epi8(16));
}

struct pair {
	__m256i x, y;
};

AVX2 INLINE __m256i turned(__m256i v)
{
	return _mm256_or_si256(_mm256_srli_epi32(v, 2),
			       _mm256_slli_epi32(v, 30));
}

/* The q of the groups g and g + 4 of 8 rows, the first or the second half of
 * the panel; `sixth` is turned as they need it. */
AVX2 INLINE struct pair unpack(const struct panel_shape *s, const uint8_t *p,
			       size_t g, size_t half, struct pair sixth)
{
	const __m256i low = _mm256_set1_epi8(15);
	const __m256i high = _mm256_set1_epi8(0x30);
	const uint8_t *nibbles = p + panel_at_nibbles(s) + 32 * half;
	__m256i v = _mm256_loadu_si256((const void *)(nibbles + 64 * g));
	struct pair out = {
		_mm256_and_si256(v, low),
		_mm256_and_si256(_mm256_srli_epi16(v, 4), low),
	};
	if (s->bits == 5) {
		uint32_t fifth[2 * PANEL_GROUPS];
		memcpy(fifth, p, sizeof fifth);
		out.x = _mm256_or_si256(out.x, fifth_bits(fifth[2 * g + half]));
		out.y = _mm256_or_si256(out.y,
					fifth_bits(fifth[2 * g + 8 + half]));
	}
	if (s->bits == 6) {
		out.x = _mm256_or_si256(out.x, _mm256_and_si256(sixth.x, high));
		out.y = _mm256_or_si256(out.y, _mm256_and_si256(sixth.y, high));
	}
	return out;
}

struct scales {
	__m256 d[2], m;
};

AVX2 INLINE __m256 halves(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

AVX2 INLINE __m128i eight(const uint8_t *p)
{
	return _mm_loadl_epi64((const void *)p);
}

AVX2 INLINE __m256 floats(__m128i bytes)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

/* As in panel_512.c. */
AVX2 INLINE struct scales scales_of_six(const uint8_t *head,
					const uint8_t *bytes, size_t k)
{
	const __m128i low = _mm_set1_epi8(15), high = _mm_set1_epi8(0x30);
	__m128i d = eight(bytes + PANEL_ROWS * k);
	__m128i m = eight(bytes + PANEL_ROWS * (k + 4));
	if (k < 4) {
		d = _mm_and_si128(d, _mm_set1_epi8(63));
		m = _mm_and_si128(m, _mm_set1_epi8(63));
	} else {
		__m128i both = m, d_high = eight(bytes + PANEL_ROWS * (k - 4));
		m = _mm_or_si128(
			_mm_and_si128(_mm_srli_epi16(both, 4), low),
			_mm_and_si128(_mm_srli_epi16(d, 2), high));
		d = _mm_or_si128(
			_mm_and_si128(both, low),
			_mm_and_si128(_mm_srli_epi16(d_high, 2), high));
	}
	struct scales out = { .d = { _mm256_mul_ps(halves(head), floats(d)) } };
	out.m = _mm256_mul_ps(halves(head + 2 * PANEL_ROWS),
			      _mm256_sub_ps(_mm256_setzero_ps(), floats(m)));
	return out;
}

AVX2 INLINE struct scales scales(const struct panel_shape *s,
				 const uint8_t *head, size_t k, size_t half)
{
	const uint8_t *bytes = head + panel_at_scales(s) + 8 * half;
	head += 16 * half;
	if (s->n_blocks > 1 && s->has_min)
		return scales_of_six(head, bytes, k);
	struct scales out = { .d = { halves(head) } };
	if (s->has_min)
		out.m = halves(head + 2 * PANEL_ROWS);
	for (size_t i = s->n_scales; s->n_blocks > 1 && i-- > 0;) {
		__m128i v = eight(bytes + PANEL_ROWS * (s->n_scales * k + i));
		out.d[i] = _mm256_mul_ps(
			out.d[0],
			_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)));
	}
	return out;
}

AVX2 INLINE void add_block(const struct panel_shape *s, const uint8_t *head,
			   size_t k, const uint8_t *p, size_t half,
			   const struct panel_token *t, size_t b,
			   size_t n_tokens, __m256 *sum)
{
	const size_t second = s->n_scales - 1;
	struct pair sixth = { 0 };
	__m256i acc[2][4];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		const int32_t *start = t[i].start + b * s->n_scales;
		acc[0][i] = s->has_min ? _mm256_setzero_si256()
				       : _mm256_set1_epi32(start[0]);
		if (second)
			acc[1][i] = _mm256_set1_epi32(start[1]);
	}
	if (s->bits == 6) {
		const uint8_t *at = p + panel_at_sixth(s) + 32 * half;
		sixth.x = _mm256_loadu_si256((const void *)at);
		sixth.y = _mm256_loadu_si256((const void *)(at + 64));
	}
	for (size_t g = 0; g < PANEL_GROUPS / 2; g++) {
		struct pair of = unpack(s, p, g, half, sixth);
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			const int8_t *q = t[i].q + b * PANEL_BLOCK + 4 * g;
			__m256i x = dot4(of.x,
					 _mm256_set1_epi32(panel_four_of(q)));
			__m256i y = dot4(of.y, _mm256_set1_epi32(
						       panel_four_of(q + 16)));
			acc[0][i] = _mm256_add_epi32(acc[0][i], x);
			acc[second][i] = _mm256_add_epi32(acc[second][i], y);
		}
		sixth.x = turned(sixth.x);
		sixth.y = turned(sixth.y);
	}
	struct scales of = scales(s, head, k, half);
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		__m256 scale = _mm256_set1_ps(t[i].scale[b]);
		if (s->has_min)
			sum[i] = _mm256_fmadd_ps(
				of.m, _mm256_set1_ps(t[i].total[b]), sum[i]);
		for (size_t j = 0; j <= second; j++)
			sum[i] = _mm256_fmadd_ps(
				_mm256_cvtepi32_ps(acc[j][i]),
				_mm256_mul_ps(of.d[j], scale), sum[i]);
	}
}

/* `n_tokens` is a constant wherever this is expanded. */
AVX2 INLINE void tile(const struct panel_shape *s, const struct panel_work *w,
		      size_t first, size_t n_tokens, size_t half)
{
	const uint8_t *p = w->panel;
	struct panel_token t[4];
	__m256 sum[4];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		t[i] = panel_token_at(w->tokens + (first + i) * w->token_bytes,
				      w->n);
		sum[i] = _mm256_setzero_ps();
	}
	for (size_t b = 0; b < w->n / PANEL_BLOCK; b += s->n_blocks) {
		const uint8_t *head = p;
		p += panel_head_bytes(s);
		for (size_t k = 0; k < s->n_blocks; k++) {
			add_block(s, head, k, p, half, t, b + k, n_tokens, sum);
			p += panel_block_bytes(s);
		}
	}
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		_mm256_storeu_ps(w->out + (first + i) * w->stride + 8 * half,
				 sum[i]);
	}
}

AVX2 INLINE void multiply(const struct panel_shape *s,
			  const struct panel_work *w)
{
	for (size_t half = 0; half < 2; half++) {
		size_t i = 0;
		for (; i + 4 <= w->n_tokens; i += 4)
			tile(s, w, i, 4, half);
		for (; i < w->n_tokens; i++)
			tile(s, w, i, 1, half);
	}
}

/* A program for each type; with 8 bits dot4() would overflow. */
#define TYPES(x) x(Q4_0) x(Q4_1) x(Q5_0) x(Q5_1) x(Q4_K) x(Q5_K) x(Q6_K)

#define MULTIPLY(type)                                               \
	AVX2 static void multiply_##type(const struct panel_work *w) \
	{                                                            \
		multiply(&panel_shapes[PANEL_##type], w);            \
	}
TYPES(MULTIPLY)

void panel_multiply_256(enum panel_type type, const struct panel_work *w)
{
#define CASE(type)                  \
	case PANEL_##type:          \
		multiply_##type(w); \
		break;
	switch (type) {
		TYPES(CASE)
	case PANEL_Q8_0:
	case PANEL_F16: /* panel_suits() */
		break;
	}
}
#endif
