/* panel.c - the packed form, and the products of it by AVX-512 (VNNI) or AVX2.
 *
 * A panel is a row of blocks; a block holds of its 16 rows
 *
 *   d        16 halves
 *   m        16 halves, unless the type has none
 *   fifth    8 masks of 64 bits: the fifth bits of the groups 0 to 7
 *   nibbles  4 times 64 bytes: the groups 0 to 3 low, 4 to 7 high
 *            or, with 8 bits, 8 times 64 bytes
 *
 * where group g of a block is its weights 4g to 4g+3, and has 4 bytes (or bits)
 * for each row: as an instruction that adds up four products wants them. */
#include "llama/panel.h"

#include "base/base.h"
#include "llama/panel_half.h"
#include "llama/simd.h"

#include <stdbool.h>
#include <string.h>

#define GROUPS 8

struct shape {
	bool has_min;
	bool has_fifth;
	bool has_bytes;
	float min; /* without has_min: m is so many d */
};

static const struct shape shapes[] = {
	[PANEL_Q4_1] = { .has_min = true },
	[PANEL_Q5_0] = { .has_fifth = true, .min = -16 },
	[PANEL_Q5_1] = { .has_min = true, .has_fifth = true },
	[PANEL_Q8_0] = { .has_bytes = true, .min = -128 },
};

static size_t at_fifth(const struct shape *s)
{
	return (s->has_min ? 4u : 2u) * PANEL_ROWS;
}

static size_t at_quants(const struct shape *s)
{
	return at_fifth(s) + (s->has_fifth ? GROUPS * sizeof(uint64_t) : 0);
}

static size_t block_bytes(const struct shape *s)
{
	return at_quants(s) + PANEL_ROWS * PANEL_BLOCK / (s->has_bytes ? 1 : 2);
}

size_t panel_block_bytes(enum panel_type type)
{
	if (type == PANEL_F16)
		return PANEL_BLOCK * sizeof(uint16_t);
	return block_bytes(&shapes[type]) / PANEL_ROWS;
}

bool panel_suits(enum panel_way way, enum panel_type type)
{
	return way == PANEL_AVX512 || (way == PANEL_AVX2 && type != PANEL_F16 &&
				       !shapes[type].has_bytes);
}

/* ---- packing ---- */

/* One block of one row: ggml stores d, m, fifth bits, nibbles. */
static void pack_block(const struct shape *s, const uint8_t *from, size_t row,
		       uint8_t *to)
{
	uint64_t masks[GROUPS];
	memcpy(to + 2 * row, from, 2);
	from += 2;
	if (s->has_min) {
		memcpy(to + 2 * (PANEL_ROWS + row), from, 2);
		from += 2;
	}
	if (s->has_fifth) {
		uint32_t bits;
		memcpy(&bits, from, 4);
		from += 4;
		memcpy(masks, to + at_fifth(s), sizeof masks);
		for (size_t g = 0; g < GROUPS; g++)
			masks[g] |= (uint64_t)(bits >> 4 * g & 15) << 4 * row;
		memcpy(to + at_fifth(s), masks, sizeof masks);
	}
	for (size_t g = 0; g < (s->has_bytes ? GROUPS : GROUPS / 2); g++) {
		uint32_t four;
		memcpy(&four, from + 4 * g, 4);
		if (s->has_bytes) /* ggml's q is from -128 */
			four ^= 0x80808080;
		memcpy(to + at_quants(s) + 64 * g + 4 * row, &four, 4);
	}
}

void panel_pack(enum panel_type type, size_t n, const void *rows, void *panel)
{
	if (type == PANEL_F16) {
		panel_half_pack(n, rows, panel);
		return;
	}
	const struct shape *s = &shapes[type];
	size_t n_blocks = n / PANEL_BLOCK, each = block_bytes(s) / PANEL_ROWS;
	if (s->has_fifth)
		memset(panel, 0, n_blocks * block_bytes(s));
	for (size_t b = 0; b < n_blocks; b++)
		for (size_t r = 0; r < PANEL_ROWS; r++)
			pack_block(s,
				   (const uint8_t *)rows +
					   (r * n_blocks + b) * each,
				   r, (uint8_t *)panel + b * block_bytes(s));
}

/* ---- activations ---- */

/* A token: n numbers of 8 bits, then of each block its scale and what the sum
 * of its numbers stands for. */
struct token {
	int8_t *q;
	float *scale;
	float *total;
};

static struct token token_at(void *bytes, size_t n)
{
	int8_t *q = bytes;
	float *scale = (float *)(void *)(q + n);
	return (struct token){ q, scale, scale + n / PANEL_BLOCK };
}

size_t panel_token_bytes(enum panel_type type, size_t n)
{
	if (type == PANEL_F16)
		return n * sizeof(float);
	return (n + n / PANEL_BLOCK * 2 * sizeof(float) + 63) & ~(size_t)63;
}

#ifdef __x86_64__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni,f16c")))

/* Four products of neighbours of a, from 0, with those of b, added up; a is at
 * most 127, or two of them would not fit into 16 bits. */
AVX2 INLINE __m256i dot4(__m256i a, __m256i b)
{
	return _mm256_madd_epi16(_mm256_maddubs_epi16(a, b),
				 _mm256_set1_epi16(1));
}

AVX2 static int32_t sum_of(__m256i v)
{
	__m128i x = _mm_add_epi32(_mm256_castsi256_si128(v),
				  _mm256_extracti128_si256(v, 1));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

AVX2 static float largest_of(__m256 v)
{
	__m128 x = _mm_max_ps(_mm256_castps256_ps128(v),
			      _mm256_extractf128_ps(v, 1));
	x = _mm_max_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

AVX2 static void quantize_block(const float *x, int8_t *q, float *scale,
				float *total)
{
	__m256 v[4], most = _mm256_setzero_ps();
	__m256i n[4];
	for (int i = 0; i < 4; i++) {
		v[i] = _mm256_loadu_ps(x + 8 * i);
		most = _mm256_max_ps(
			most, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v[i]));
	}
	/* 127 divided by less would be infinite. */
	float largest = largest_of(most),
	      by = largest > 1e-30f ? 127 / largest : 0;
	for (int i = 0; i < 4; i++)
		n[i] = _mm256_cvtps_epi32(
			_mm256_mul_ps(v[i], _mm256_set1_ps(by)));
	/* Packing works in halves of the register; put them in order. */
	__m256i all = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]),
					 _mm256_packs_epi32(n[2], n[3]));
	all = _mm256_permutevar8x32_epi32(
		all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
	_mm256_storeu_si256((__m256i *)(void *)q, all);
	*scale = largest / 127;
	*total = *scale * (float)sum_of(dot4(_mm256_set1_epi8(1), all));
}

void panel_quantize(enum panel_type type, const float *x, size_t n,
		    size_t first, size_t end, void *token)
{
	if (type == PANEL_F16) {
		memcpy((float *)token + first * PANEL_BLOCK,
		       x + first * PANEL_BLOCK,
		       (end - first) * PANEL_BLOCK * sizeof *x);
		return;
	}
	struct token t = token_at(token, n);
	for (size_t b = first; b < end; b++)
		quantize_block(x + b * PANEL_BLOCK, t.q + b * PANEL_BLOCK,
			       t.scale + b, t.total + b);
}

INLINE int32_t four_of(const int8_t *q)
{
	int32_t v;
	memcpy(&v, q, sizeof v);
	return v;
}

/* ---- products ---- */

/* A panel, and the tokens to multiply it with. */
struct work {
	const struct shape *shape;
	size_t n;
	const uint8_t *panel;
	uint8_t *tokens;
	size_t token_bytes;
	float *out;
	size_t stride;
};

static struct token token_of(const struct work *w, size_t i)
{
	return token_at(w->tokens + i * w->token_bytes, w->n);
}

struct pair512 {
	__m512i x, y;
};

/* The q of the groups g and g + 4 of all rows. */
AVX512 INLINE struct pair512 unpack512(const struct shape *s, const uint8_t *p,
				       size_t g)
{
	const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(16);
	const uint8_t *quants = p + at_quants(s);
	__m512i v = _mm512_loadu_si512(quants + 64 * g);
	if (s->has_bytes)
		return (struct pair512){ v, _mm512_loadu_si512(quants +
							       64 * (g + 4)) };
	struct pair512 out = {
		_mm512_and_si512(v, low),
		_mm512_and_si512(_mm512_srli_epi16(v, 4), low),
	};
	if (s->has_fifth) {
		uint64_t fifth[GROUPS];
		memcpy(fifth, p + at_fifth(s), sizeof fifth);
		out.x = _mm512_mask_add_epi8(out.x, fifth[g], out.x, high);
		out.y = _mm512_mask_add_epi8(out.y, fifth[g + 4], out.y, high);
	}
	return out;
}

/* d and m of all rows. */
AVX512 INLINE void scales512(const struct shape *s, const uint8_t *p, __m512 *d,
			     __m512 *m)
{
	const __m256i *halves = (const void *)p;
	*d = _mm512_cvtph_ps(_mm256_loadu_si256(halves));
	*m = s->has_min ? _mm512_cvtph_ps(_mm256_loadu_si256(halves + 1))
			: _mm512_mul_ps(*d, _mm512_set1_ps(s->min));
}

/* `n_tokens` is a constant wherever this is expanded. */
AVX512 INLINE void tile512(const struct work *w, size_t first, size_t n_tokens)
{
	const uint8_t *p = w->panel;
	struct token t[8];
	__m512 sum[8], d, m;
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		t[i] = token_of(w, first + i);
		sum[i] = _mm512_setzero_ps();
	}
	for (size_t b = 0; b < w->n / PANEL_BLOCK; b++) {
		__m512i acc[8];
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			acc[i] = _mm512_setzero_si512();
		}
		for (size_t g = 0; g < GROUPS / 2; g++) {
			struct pair512 of = unpack512(w->shape, p, g);
			UNROLL for (size_t i = 0; i < n_tokens; i++)
			{
				const int8_t *q =
					t[i].q + b * PANEL_BLOCK + 4 * g;
				acc[i] = _mm512_dpbusd_epi32(
					acc[i], of.x,
					_mm512_set1_epi32(four_of(q)));
				acc[i] = _mm512_dpbusd_epi32(
					acc[i], of.y,
					_mm512_set1_epi32(four_of(q + 16)));
			}
		}
		scales512(w->shape, p, &d, &m);
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			__m512 total = _mm512_set1_ps(t[i].total[b]);
			__m512 scale = _mm512_set1_ps(t[i].scale[b]);
			sum[i] = _mm512_fmadd_ps(m, total, sum[i]);
			sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]),
						 _mm512_mul_ps(d, scale),
						 sum[i]);
		}
		p += block_bytes(w->shape);
	}
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		_mm512_storeu_ps(w->out + (first + i) * w->stride, sum[i]);
	}
}

AVX512 static void multiply512(const struct work *w, size_t n_tokens)
{
	size_t i = 0;
	for (; i + 8 <= n_tokens; i += 8)
		tile512(w, i, 8);
	for (; i + 4 <= n_tokens; i += 4)
		tile512(w, i, 4);
	for (; i + 2 <= n_tokens; i += 2)
		tile512(w, i, 2);
	if (i < n_tokens)
		tile512(w, i, 1);
}

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

struct pair256 {
	__m256i x, y;
};

/* The same for 8 of the rows, the first or the second half of the panel. */
AVX2 INLINE struct pair256 unpack256(const struct shape *s, const uint8_t *p,
				     size_t g, size_t half)
{
	const __m256i low = _mm256_set1_epi8(15);
	const uint8_t *quants = p + at_quants(s) + 32 * half;
	__m256i v = _mm256_loadu_si256((const void *)(quants + 64 * g));
	struct pair256 out = {
		_mm256_and_si256(v, low),
		_mm256_and_si256(_mm256_srli_epi16(v, 4), low),
	};
	if (s->has_fifth) {
		uint32_t fifth[2 * GROUPS];
		memcpy(fifth, p + at_fifth(s), sizeof fifth);
		out.x = _mm256_or_si256(out.x, fifth_bits(fifth[2 * g + half]));
		out.y = _mm256_or_si256(out.y,
					fifth_bits(fifth[2 * g + 8 + half]));
	}
	return out;
}

AVX2 INLINE void scales256(const struct shape *s, const uint8_t *p, size_t half,
			   __m256 *d, __m256 *m)
{
	const __m128i *halves = (const void *)p;
	*d = _mm256_cvtph_ps(_mm_loadu_si128(halves + half));
	*m = s->has_min ? _mm256_cvtph_ps(_mm_loadu_si128(halves + 2 + half))
			: _mm256_mul_ps(*d, _mm256_set1_ps(s->min));
}

AVX2 INLINE void tile256(const struct work *w, size_t first, size_t n_tokens,
			 size_t half)
{
	const struct shape *s = w->shape;
	const uint8_t *p = w->panel;
	struct token t[4];
	__m256 sum[4], d, m;
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		t[i] = token_of(w, first + i);
		sum[i] = _mm256_setzero_ps();
	}
	for (size_t b = 0; b < w->n / PANEL_BLOCK; b++) {
		__m256i acc[4];
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			acc[i] = _mm256_setzero_si256();
		}
		for (size_t g = 0; g < GROUPS / 2; g++) {
			struct pair256 of = unpack256(s, p, g, half);
			UNROLL for (size_t i = 0; i < n_tokens; i++)
			{
				const int8_t *q =
					t[i].q + b * PANEL_BLOCK + 4 * g;
				__m256i x = dot4(of.x,
						 _mm256_set1_epi32(four_of(q)));
				__m256i y = dot4(
					of.y,
					_mm256_set1_epi32(four_of(q + 16)));
				acc[i] = _mm256_add_epi32(
					acc[i], _mm256_add_epi32(x, y));
			}
		}
		scales256(s, p, half, &d, &m);
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			__m256 total = _mm256_set1_ps(t[i].total[b]);
			__m256 scale = _mm256_set1_ps(t[i].scale[b]);
			sum[i] = _mm256_fmadd_ps(m, total, sum[i]);
			sum[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i]),
						 _mm256_mul_ps(d, scale),
						 sum[i]);
		}
		p += block_bytes(s);
	}
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		_mm256_storeu_ps(w->out + (first + i) * w->stride + 8 * half,
				 sum[i]);
	}
}

AVX2 static void multiply256(const struct work *w, size_t n_tokens)
{
	for (size_t half = 0; half < 2; half++) {
		size_t i = 0;
		for (; i + 4 <= n_tokens; i += 4)
			tile256(w, i, 4, half);
		for (; i < n_tokens; i++)
			tile256(w, i, 1, half);
	}
}

enum panel_way panel_way(void)
{
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return PANEL_NONE;
	return __builtin_cpu_supports("avx512bw") &&
			       __builtin_cpu_supports("avx512vnni")
		       ? PANEL_AVX512
		       : PANEL_AVX2;
}

void panel_multiply(enum panel_way way, enum panel_type type, size_t n,
		    const void *panel, const void *tokens, size_t n_tokens,
		    float *out, size_t stride)
{
	struct work w = {
		.shape = &shapes[type],
		.n = n,
		.panel = panel,
		.tokens = (uint8_t *)tokens,
		.token_bytes = panel_token_bytes(type, n),
		.out = out,
		.stride = stride,
	};
	if (type == PANEL_F16)
		panel_half_multiply(n, panel, tokens, n_tokens, out, stride);
	else if (way == PANEL_AVX512)
		multiply512(&w, n_tokens);
	else
		multiply256(&w, n_tokens);
}

#else /* never called */

enum panel_way panel_way(void)
{
	return PANEL_NONE;
}

void panel_quantize(enum panel_type type, const float *x, size_t n,
		    size_t first, size_t end, void *token)
{
	(void)type, (void)x, (void)n, (void)first, (void)end, (void)token;
}

void panel_multiply(enum panel_way way, enum panel_type type, size_t n,
		    const void *panel, const void *tokens, size_t n_tokens,
		    float *out, size_t stride)
{
	(void)way, (void)type, (void)n, (void)panel, (void)tokens;
	(void)n_tokens, (void)out, (void)stride;
}
#endif
