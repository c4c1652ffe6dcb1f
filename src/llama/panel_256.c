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

/* The q of the groups g and g + 4 of 8 rows, the first or the second half of
 * the panel. */
AVX2 INLINE struct pair unpack(const struct panel_shape *s, const uint8_t *p,
			       size_t g, size_t half)
{
	const __m256i low = _mm256_set1_epi8(15);
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
	return out;
}

struct scales {
	__m256 d, m;
};

AVX2 INLINE __m256 halves(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

/* 8 of 16 bytes. */
AVX2 INLINE __m256 floats(__m128i bytes, size_t half)
{
	if (half)
		bytes = _mm_srli_si128(bytes, 8);
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

AVX2 INLINE struct scales scales_of_six(const uint8_t *head,
					const uint8_t *bytes, size_t k,
					size_t half)
{
	__m128i d, m;
	panel_six_bits(bytes, k, &d, &m);
	__m256 minus = _mm256_sub_ps(_mm256_setzero_ps(), floats(m, half));
	return (struct scales){
		_mm256_mul_ps(halves(head), floats(d, half)),
		_mm256_mul_ps(halves(head + 2 * PANEL_ROWS), minus),
	};
}

AVX2 INLINE struct scales scales(const struct panel_shape *s,
				 const uint8_t *head, size_t k, size_t half)
{
	const uint8_t *bytes = head + panel_at_scales(s);
	head += 16 * half;
	if (s->n_blocks > 1)
		return scales_of_six(head, bytes, k, half);
	struct scales out = { .d = halves(head) };
	if (s->has_min)
		out.m = halves(head + 2 * PANEL_ROWS);
	return out;
}

/* Where a tile is: a block of the panel, the k-th of its head. */
struct place {
	const uint8_t *head, *p;
	size_t k, b;
};

/* The sums of products as they fit into 16 bits: of four q below 32 (5 bits),
 * or of all eight below 16. */
AVX2 INLINE void add_products(const struct panel_shape *s,
			      const struct place *at, size_t half,
			      const struct panel_token *t, size_t n_tokens,
			      __m256i *acc)
{
	const size_t often = s->bits == 4 ? PANEL_GROUPS / 2 : PANEL_GROUPS / 4;
	UNROLL for (size_t first = 0; first < PANEL_GROUPS / 2; first += often)
	{
		__m256i few[4] = { 0 };
		UNROLL for (size_t g = first; g < first + often; g++)
		{
			struct pair of = unpack(s, at->p, g, half);
			UNROLL for (size_t i = 0; i < n_tokens; i++)
			{
				const int8_t *q =
					t[i].q + at->b * PANEL_BLOCK + 4 * g;
				few[i] = add2(few[i], of.x, panel_four_of(q));
				few[i] = add2(few[i], of.y,
					      panel_four_of(q + 16));
			}
		}
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			acc[i] = _mm256_add_epi32(acc[i], pairs_of(few[i]));
		}
	}
}

AVX2 INLINE void add_block(const struct panel_shape *s, const struct place *at,
			   size_t half, const struct panel_token *t,
			   size_t n_tokens, __m256 *sum)
{
	__m256i acc[4];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		acc[i] = s->has_min ? _mm256_setzero_si256()
				    : _mm256_set1_epi32(t[i].start[at->b]);
	}
	add_products(s, at, half, t, n_tokens, acc);
	struct scales of = scales(s, at->head, at->k, half);
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		__m256 scale = _mm256_set1_ps(t[i].scale[at->b]);
		if (s->has_min)
			sum[i] = _mm256_fmadd_ps(
				of.m, _mm256_set1_ps(t[i].total[at->b]),
				sum[i]);
		sum[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i]),
					 _mm256_mul_ps(of.d, scale), sum[i]);
	}
}

/* Of some halves of the panel; `n_tokens` and the halves are constants wherever
 * this is expanded. */
AVX2 INLINE void tile(const struct panel_shape *s, const struct panel_work *w,
		      size_t first, size_t n_tokens, size_t half, size_t n)
{
	struct place at = { .p = w->panel };
	struct panel_token t[4];
	__m256 sum[2][4];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		t[i] = panel_token_at(w->tokens + (first + i) * w->token_bytes,
				      w->n);
		sum[0][i] = sum[1][i] = _mm256_setzero_ps();
	}
	while (at.b < w->n / PANEL_BLOCK) {
		at.head = at.p;
		at.p += panel_head_bytes(s);
		for (at.k = 0; at.k < s->n_blocks; at.k++, at.b++) {
			for (size_t h = 0; h < n; h++)
				add_block(s, &at, half + h, t, n_tokens,
					  sum[h]);
			at.p += panel_block_bytes(s);
		}
	}
	for (size_t h = 0; h < n; h++)
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			_mm256_storeu_ps(w->out + (first + i) * w->stride +
						 8 * (half + h),
					 sum[h][i]);
		}
}

AVX2 INLINE void multiply(const struct panel_shape *s,
			  const struct panel_work *w)
{
	size_t i = 0;
	for (; i + 4 <= w->n_tokens; i += 4)
		for (size_t half = 0; half < 2; half++)
			tile(s, w, i, 4, half, 1);
	for (; i < w->n_tokens; i++)
		tile(s, w, i, 1, 0, 2);
}

/* A program for each type of panel_suits(). */
#define TYPES(x) x(Q4_0) x(Q4_1) x(Q5_0) x(Q5_1) x(Q4_K) x(Q5_K)

#define MULTIPLY(type)                                               \
	AVX2 static void multiply_##type(const struct panel_work *w) \
	{                                                            \
		multiply(&panel_shapes[PANEL_##type], w);            \
	}
TYPES(MULTIPLY)

void panel_256_multiply(enum panel_type type, const struct panel_work *w)
{
#define CASE(type)                  \
	case PANEL_##type:          \
		multiply_##type(w); \
		break;
	switch (type) {
		TYPES(CASE)
	case PANEL_Q6_K:
	case PANEL_Q8_0:
	case PANEL_F16:
		break;
	}
}
#endif
