#include "llama/attend.h"

#include "base/base.h"
#include "llama/simd.h"

#include <math.h>
#include <string.h>

#define STEP 16 /* cells at a time */

void attend_add(struct attend_part *to, const struct attend_part *more,
		size_t n)
{
	float most = MAX(to->most, more->most);
	if (!(more->sum > 0))
		return;
	if (!(to->sum > 0)) {
		memcpy(to->values, more->values, n * sizeof *to->values);
		to->most = more->most;
		to->sum = more->sum;
		return;
	}
	float a = expf(to->most - most), b = expf(more->most - most);
	for (size_t i = 0; i < n; i++)
		to->values[i] = a * to->values[i] + b * more->values[i];
	to->sum = a * to->sum + b * more->sum;
	to->most = most;
}

void attend_end(const struct attend_part *p, size_t n, float *out)
{
	float by = p->sum > 0 ? 1 / p->sum : 0;
	for (size_t i = 0; i < n; i++)
		out[i] = p->sum > 0 ? by * p->values[i] : 0;
}

#ifdef __x86_64__
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,fma,f16c")))

#define HIDDEN 0xfc00 /* minus infinity */

AVX512 INLINE size_t push(uint32_t seen, const uint16_t *mask, size_t at,
			  size_t n, uint32_t *cells, float *bias)
{
	for (; seen; seen &= seen - 1) {
		size_t cell = at + (size_t)__builtin_ctz(seen);
		cells[n] = (uint32_t)cell;
		bias[n++] = mask[cell] ? _cvtsh_ss(mask[cell]) : 0;
	}
	return n;
}

AVX512 size_t attend_seen(const uint16_t *mask, size_t first, size_t end,
			  uint32_t *cells, float *bias)
{
	const __m512i hidden = _mm512_set1_epi16((int16_t)HIDDEN);
	size_t n = 0, i = first;
	for (; i + 32 <= end; i += 32) {
		uint32_t seen = _mm512_cmpneq_epi16_mask(
			_mm512_loadu_si512(mask + i), hidden);
		n = push(seen, mask, i, n, cells, bias);
	}
	for (; i < end; i++)
		n = push(mask[i] != HIDDEN, mask, i, n, cells, bias);
	return n;
}

/* The sum of each of 16 registers, in their order. */
AVX512 INLINE __m512 sums512(__m512 *v)
{
	UNROLL for (int i = 0; i < 8; i++)
	{
		v[i] = _mm512_add_ps(
			_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
			_mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
	}
	UNROLL for (int i = 0; i < 4; i++)
	{
		__m512d a = _mm512_castps_pd(v[2 * i]),
			b = _mm512_castps_pd(v[2 * i + 1]);
		v[i] = _mm512_add_ps(
			_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
			_mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
	}
	UNROLL for (int i = 0; i < 3; i++)
	{
		/* Of the last four, two and two and then these. */
		__m512 a = v[i < 2 ? 2 * i : 0], b = v[i < 2 ? 2 * i + 1 : 1];
		v[i < 2 ? i : 0] =
			_mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88),
				      _mm512_shuffle_f32x4(a, b, 0xdd));
	}
	return v[0];
}

/* Rows of up to 16 cells as 32-bit floats. */
AVX512 INLINE void widen(const struct attend_rows *rows, const uint32_t *cells,
			 size_t n_cells, size_t n, float *out)
{
	for (size_t i = 0; i < n_cells; i++) {
		const char *row =
			(const char *)rows->first + cells[i] * rows->stride;
		for (size_t j = 0; j < n; j += 16)
			_mm512_store_ps(out + i * n + j,
					_mm512_cvtph_ps(_mm256_loadu_si256(
						(const void *)(row + 2 * j))));
	}
}

AVX512 INLINE __m512 scores512(const float *q, const float *keys, size_t n)
{
	__m512 v[STEP];
	UNROLL for (size_t i = 0; i < STEP; i++)
	{
		v[i] = _mm512_mul_ps(_mm512_loadu_ps(q),
				     _mm512_load_ps(keys + i * n));
	}
	UNROLL for (size_t j = 16; j < n; j += 16)
	{
		__m512 part = _mm512_loadu_ps(q + j);
		UNROLL for (size_t i = 0; i < STEP; i++)
		{
			v[i] = _mm512_fmadd_ps(
				part, _mm512_load_ps(keys + i * n + j), v[i]);
		}
	}
	return sums512(v);
}

/* Adds up to 16 cells with these scores to a part of the answer. */
AVX512 INLINE void take(struct attend_part *out, __m512 scores,
			const float *values, size_t n_cells, size_t n)
{
	float weights[STEP];
	float most = MAX(out->most, _mm512_reduce_max_ps(scores));
	if (most > out->most) {
		float by = expf(out->most - most);
		out->sum *= by;
		out->most = most;
		for (size_t j = 0; j < n; j++)
			out->values[j] *= by;
	}
	__m512 p = exp512(_mm512_sub_ps(scores, _mm512_set1_ps(most)));
	p = _mm512_maskz_mov_ps((__mmask16)((1u << n_cells) - 1), p);
	out->sum += _mm512_reduce_add_ps(p);
	_mm512_storeu_ps(weights, p);
	__m512 v[ATTEND_LARGEST / 16];
	UNROLL for (size_t j = 0; j < n / 16; j++)
	{
		v[j] = _mm512_loadu_ps(out->values + 16 * j);
	}
	for (size_t i = 0; i < n_cells; i++) {
		__m512 weight = _mm512_set1_ps(weights[i]);
		UNROLL for (size_t j = 0; j < n / 16; j++)
		{
			v[j] = _mm512_fmadd_ps(
				weight, _mm512_load_ps(values + i * n + 16 * j),
				v[j]);
		}
	}
	UNROLL for (size_t j = 0; j < n / 16; j++)
	{
		_mm512_storeu_ps(out->values + 16 * j, v[j]);
	}
}

/* Rows of other heads lie between those of one, so the processor does not guess
 * where the next ones are. */
AVX512 INLINE void fetch(const struct attend_rows *rows, const uint32_t *cells,
			 size_t n_cells, size_t n)
{
	for (size_t i = 0; i < n_cells; i++) {
		const char *row =
			(const char *)rows->first + cells[i] * rows->stride;
		for (size_t j = 0; j < 2 * n; j += 64)
			_mm_prefetch(row + j, _MM_HINT_T0);
	}
}

/* `n` is a constant wherever this is expanded. */
AVX512 INLINE void attend_n(const struct attend_ask *a, const float *const *q,
			    struct attend_part *out, size_t n)
{
	__attribute__((aligned(64))) float keys[STEP * ATTEND_LARGEST];
	__attribute__((aligned(64))) float values[STEP * ATTEND_LARGEST];
	for (size_t h = 0; h < a->n_heads; h++) {
		out[h].most = -INFINITY;
		out[h].sum = 0;
		memset(out[h].values, 0, n * sizeof *out[h].values);
	}
	memset(keys, 0, STEP * n * sizeof *keys);
	for (size_t i = 0; i < a->n_cells; i += STEP) {
		size_t m = MIN(a->n_cells - i, (size_t)STEP);
		__mmask16 is_there = (__mmask16)((1u << m) - 1);
		size_t next = MIN(a->n_cells - i - m, (size_t)STEP);
		fetch(&a->keys, a->cells + i + m, next, n);
		fetch(&a->values, a->cells + i + m, next, n);
		widen(&a->keys, a->cells + i, m, n, keys);
		widen(&a->values, a->cells + i, m, n, values);
		__m512 bias = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY),
						   is_there, a->bias + i);
		for (size_t h = 0; h < a->n_heads; h++)
			take(&out[h],
			     _mm512_fmadd_ps(scores512(q[h], keys, n),
					     _mm512_set1_ps(a->scale), bias),
			     values, m, n);
	}
}

#define SIZES(x) x(32) x(64) x(80) x(96) x(128) x(192) x(256)

#define ATTEND(size)                                                 \
	AVX512 static void attend_##size(const struct attend_ask *a, \
					 const float *const *q,      \
					 struct attend_part *out)    \
	{                                                            \
		attend_n(a, q, out, size);                           \
	}
SIZES(ATTEND)

void attend(const struct attend_ask *a, const float *const *q,
	    struct attend_part *out)
{
#define CASE(size)                        \
	case size:                        \
		attend_##size(a, q, out); \
		break;
	switch (a->n) {
		SIZES(CASE)
	}
}

bool attend_suits(size_t n)
{
#define IS(size) || n == size
	return __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("fma") && (false SIZES(IS));
}

#else /* never called */

bool attend_suits(size_t n)
{
	(void)n;
	return false;
}

size_t attend_seen(const uint16_t *mask, size_t first, size_t end,
		   uint32_t *cells, float *bias)
{
	(void)mask, (void)first, (void)end, (void)cells, (void)bias;
	return 0;
}

void attend(const struct attend_ask *a, const float *const *q,
	    struct attend_part *out)
{
	(void)a, (void)q, (void)out;
}
#endif
