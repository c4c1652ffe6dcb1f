#include "llama/attend_priv.h"

#include "base/base.h"

#ifdef __x86_64__

#define TOGETHER 4 /* queries */
#define HALF (ATTEND_STEP / 2)

/* ---- few queries: the numbers of a key lie across the lanes ---- */

/* In each quarter, the sums of that quarter of four registers. */
AVX512 INLINE __m512 sums_of_quarters(const __m512 *v)
{
	__m512 a = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]),
				 _mm512_unpackhi_ps(v[0], v[1])),
	       b = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]),
				 _mm512_unpackhi_ps(v[2], v[3]));
	__m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
	return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)),
			     _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
}

/* Quarters next to each other in one: those of `a`, then those of `b`. */
AVX512 INLINE __m512 add_pairs(__m512 a, __m512 b)
{
	return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88),
			     _mm512_shuffle_f32x4(a, b, 0xdd));
}

/* For each of m queries, quarter by quarter the sums of four cells. */
AVX512 INLINE void four_cells(const struct attend_query *q, size_t m,
			      const char *const *rows, size_t n, __m512 *out)
{
	__m512 v[TOGETHER][4];
	UNROLL for (size_t j = 0; j < n; j += 16)
	{
		UNROLL for (size_t c = 0; c < 4; c++)
		{
			__m512 key = _mm512_cvtph_ps(_mm256_loadu_si256(
				(const void *)(rows[c] + 2 * j)));
			UNROLL for (size_t i = 0; i < m; i++)
			{
				__m512 x = _mm512_loadu_ps(q[i].q + j);
				v[i][c] = j ? _mm512_fmadd_ps(x, key, v[i][c])
					    : _mm512_mul_ps(x, key);
			}
		}
	}
	UNROLL for (size_t i = 0; i < m; i++)
	{
		out[i] = sums_of_quarters(v[i]);
	}
}

/* `m` queries, a constant, and 16 cells. */
AVX512 INLINE void some_by_rows(const struct attend_query *q, size_t m,
				const char *const *rows, float *room, size_t n)
{
	__m512 v[4][TOGETHER];
	for (size_t i = 0; i < 4; i++)
		four_cells(q, m, rows + 4 * i, n, v[i]);
	UNROLL for (size_t i = 0; i < m; i++)
	{
		_mm512_storeu_ps(room + i * ATTEND_ROW,
				 add_pairs(add_pairs(v[0][i], v[1][i]),
					   add_pairs(v[2][i], v[3][i])));
	}
}

AVX512 INLINE void by_rows(const struct attend_ask *a,
			   const struct attend_query *q, size_t n_queries,
			   float *room, size_t n)
{
	const char *rows[HALF];
	for (size_t i = 0; i < a->n_cells; i += HALF) {
		size_t m = MIN(a->n_cells - i, (size_t)HALF),
		       next = MIN(a->n_cells - i - m, (size_t)HALF);
		attend_fetch(&a->keys, a->cells + i + m, next, n);
		attend_fetch(&a->values, a->cells + i, m, n);
		for (size_t k = 0; k < HALF; k++)
			rows[k] = attend_row(&a->keys,
					     a->cells[i + (k < m ? k : 0)]);
		for (size_t k = 0; k < n_queries; k += TOGETHER) {
			float *at = room + k * ATTEND_ROW + i;
			switch (MIN(n_queries - k, (size_t)TOGETHER)) {
			case 1:
				some_by_rows(q + k, 1, rows, at, n);
				break;
			case 2:
				some_by_rows(q + k, 2, rows, at, n);
				break;
			case 3:
				some_by_rows(q + k, 3, rows, at, n);
				break;
			default:
				some_by_rows(q + k, TOGETHER, rows, at, n);
			}
		}
	}
}

/* ---- many: the cells lie across the lanes ---- */

/* 16-bit numbers: where each register and each of its quarters held 8 in a
 * row, the same numbers of 8 registers come to lie in a row. Each step turns
 * the bits of (register, place) by one. */
AVX512 INLINE void turn8(__m512i *v)
{
	UNROLL for (int step = 0; step < 3; step++)
	{
		__m512i w[8];
		UNROLL for (int i = 0; i < 4; i++)
		{
			w[2 * i] = _mm512_unpacklo_epi16(v[i], v[i + 4]);
			w[2 * i + 1] = _mm512_unpackhi_epi16(v[i], v[i + 4]);
		}
		UNROLL for (int i = 0; i < 8; i++)
		{
			v[i] = w[i];
		}
	}
}

AVX512 INLINE void put_wide(float *out, __m512i halves, size_t j, size_t n)
{
	if (j < n)
		_mm512_store_ps(
			out + j * ATTEND_STEP,
			_mm512_cvtph_ps(_mm512_castsi512_si256(halves)));
	if (j + 8 < n)
		_mm512_store_ps(
			out + (j + 8) * ATTEND_STEP,
			_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)));
}

/* Up to 16 keys as columns: out[j * ATTEND_STEP + i] is number j of cell i. */
AVX512 INLINE void turn(const struct attend_rows *rows, const uint32_t *cells,
			size_t n_cells, size_t n, float *out)
{
	const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
		      high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
	for (size_t j = 0; j < n; j += 32) {
		__mmask32 there = n - j < 32 ? 0xffff : 0xffffffff;
		__m512i v[16];
		UNROLL for (size_t i = 0; i < 16; i++)
		{
			v[i] = _mm512_maskz_loadu_epi16(
				i < n_cells ? there : 0,
				attend_row(rows, cells[i < n_cells ? i : 0]) +
					2 * j);
		}
		turn8(v);
		turn8(v + 8);
		UNROLL for (size_t i = 0; i < 8; i++)
		{
			put_wide(out,
				 _mm512_permutex2var_epi64(v[i], low, v[i + 8]),
				 j + i, n);
			put_wide(
				out,
				_mm512_permutex2var_epi64(v[i], high, v[i + 8]),
				j + 16 + i, n);
		}
	}
}

struct products {
	__m512 v[TOGETHER][2];
};

/* What one lane sums up in four_cells(): each 16th number from `first`. */
AVX512 INLINE struct products sum_lane(const float *const *q, const float *keys,
				       size_t first, size_t n)
{
	struct products p;
	UNROLL for (size_t j = 0; j < n; j += 16)
	{
		const float *key = keys + (j + first) * ATTEND_STEP;
		__m512 a = _mm512_load_ps(key), b = _mm512_load_ps(key + 16);
		UNROLL for (size_t i = 0; i < TOGETHER; i++)
		{
			__m512 x = _mm512_set1_ps(q[i][j + first]);
			p.v[i][0] = j ? _mm512_fmadd_ps(x, a, p.v[i][0])
				      : _mm512_mul_ps(x, a);
			p.v[i][1] = j ? _mm512_fmadd_ps(x, b, p.v[i][1])
				      : _mm512_mul_ps(x, b);
		}
	}
	return p;
}

AVX512 INLINE struct products plus(struct products a, struct products b)
{
	UNROLL for (size_t i = 0; i < 2 * TOGETHER; i++)
	{
		a.v[i / 2][i % 2] =
			_mm512_add_ps(a.v[i / 2][i % 2], b.v[i / 2][i % 2]);
	}
	return a;
}

/* The quarters of a register, as sums_of_quarters() adds them, and then
 * add_pairs(). */
AVX512 INLINE void some_by_columns(const float *const *q, const float *keys,
				   float *const *out, size_t n)
{
	struct products s[4];
	for (size_t i = 0; i < 4; i++)
		s[i] = plus(plus(sum_lane(q, keys, 4 * i, n),
				 sum_lane(q, keys, 4 * i + 2, n)),
			    plus(sum_lane(q, keys, 4 * i + 1, n),
				 sum_lane(q, keys, 4 * i + 3, n)));
	s[0] = plus(plus(s[0], s[1]), plus(s[2], s[3]));
	UNROLL for (size_t i = 0; i < TOGETHER; i++)
	{
		_mm512_storeu_ps(out[i], s[0].v[i][0]);
		_mm512_storeu_ps(out[i] + 16, s[0].v[i][1]);
	}
}

AVX512 INLINE void all_by_columns(const float *keys,
				  const struct attend_query *q,
				  size_t n_queries, float *room, size_t cell,
				  size_t n)
{
	for (size_t k = 0; k < n_queries; k += TOGETHER) {
		/* The last ones may be computed twice. */
		size_t first = MIN(k, n_queries - TOGETHER);
		const float *some[TOGETHER];
		float *out[TOGETHER];
		uint32_t seen = 0;
		for (size_t i = 0; i < TOGETHER; i++) {
			some[i] = q[first + i].q;
			out[i] = room + (first + i) * ATTEND_ROW + cell;
			seen |= q[first + i].seen[cell / ATTEND_STEP];
		}
		if (seen)
			some_by_columns(some, keys, out, n);
	}
}

AVX512 INLINE void by_columns(const struct attend_ask *a,
			      const struct attend_query *q, size_t n_queries,
			      float *room, size_t n)
{
	__attribute__((aligned(64))) float keys[ATTEND_STEP * ATTEND_LARGEST];
	for (size_t i = 0; i < a->n_cells; i += ATTEND_STEP) {
		size_t m = MIN(a->n_cells - i, (size_t)ATTEND_STEP);
		const uint32_t *cells = a->cells + i;
		attend_fetch(&a->keys, cells + m,
			     MIN(a->n_cells - i - m, (size_t)ATTEND_STEP), n);
		turn(&a->keys, cells, MIN(m, (size_t)HALF), n, keys);
		if (m > HALF)
			turn(&a->keys, cells + HALF, m - HALF, n, keys + HALF);
		all_by_columns(keys, q, n_queries, room, i, n);
	}
}

/* Turning pays from some queries on; where it does both give the same. */
AVX512 INLINE void keys_n(const struct attend_ask *a,
			  const struct attend_query *q, size_t n_queries,
			  float *room, size_t n)
{
	if (n_queries < 4 + n / 16)
		by_rows(a, q, n_queries, room, n);
	else
		by_columns(a, q, n_queries, room, n);
}

#define KEYS(size)                                                             \
	AVX512 static void keys_##size(const struct attend_ask *a,             \
				       const struct attend_query *q, size_t n, \
				       float *room)                            \
	{                                                                      \
		keys_n(a, q, n, room, size);                                   \
	}
ATTEND_SIZES(KEYS)

void attend_keys(const struct attend_ask *a, const struct attend_query *q,
		 size_t n, float *room)
{
#define CASE(size)                          \
	case size:                          \
		keys_##size(a, q, n, room); \
		break;
	switch (a->n) {
		ATTEND_SIZES(CASE)
	}
}

#endif
