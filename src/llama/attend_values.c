#include "llama/attend_priv.h"

#include "base/base.h"

#ifdef __x86_64__

/* Heads of many numbers are taken by slices of so many. */
#define SLICE 64
#define MOST_SLICE 96 /* of a head that has no such slices */
/* What is summed up at a time, so that it stays in registers: queries times
 * registers of a slice. */
#define REGISTERS 24
#define MOST_TOGETHER 8

/* Some queries, 32 cells, and a slice. */
struct some {
	struct attend_rows rows;
	const uint32_t *cells;
	const float *wide; /* the same as 32-bit floats, of many queries */
	const float *weights[MOST_TOGETHER];
	float *out[MOST_TOGETHER];
	uint32_t seen[MOST_TOGETHER];
};

AVX512 INLINE __m512 value_of(const struct some *s, size_t cell, size_t j,
			      size_t n, bool wide)
{
	if (wide)
		return _mm512_load_ps(s->wide + cell * n + j);
	return _mm512_cvtph_ps(_mm256_loadu_si256(
		(const void *)(attend_row(&s->rows, s->cells[cell]) + 2 * j)));
}

/* `m` queries from `first` on, and the cells from `from` up to `to`. `m`, `n`
 * and `wide` are constants. */
AVX512 INLINE void add_cells(const struct some *s, size_t first, size_t from,
			     size_t to, size_t m, size_t n, bool wide)
{
	__m512 v[REGISTERS];
	const size_t each = n / 16;
	UNROLL for (size_t i = 0; i < m; i++)
	{
		UNROLL for (size_t j = 0; j < each; j++)
		{
			v[i * each + j] =
				_mm512_loadu_ps(s->out[first + i] + 16 * j);
		}
	}
	for (size_t c = from; c < to; c++) {
		__m512 value[MOST_SLICE / 16];
		UNROLL for (size_t j = 0; j < each; j++)
		{
			value[j] = value_of(s, c, 16 * j, n, wide);
		}
		UNROLL for (size_t i = 0; i < m; i++)
		{
			__m512 x = _mm512_set1_ps(s->weights[first + i][c]);
			UNROLL for (size_t j = 0; j < each; j++)
			{
				v[i * each + j] = _mm512_fmadd_ps(
					x, value[j], v[i * each + j]);
			}
		}
	}
	UNROLL for (size_t i = 0; i < m; i++)
	{
		UNROLL for (size_t j = 0; j < each; j++)
		{
			_mm512_storeu_ps(s->out[first + i] + 16 * j,
					 v[i * each + j]);
		}
	}
}

/* Of the cells among `among`, those that each query sees. */
AVX512 INLINE void add_one_by_one(const struct some *s, size_t m,
				  uint32_t among, size_t n, bool wide)
{
	for (size_t i = 0; i < m; i++)
		for (uint64_t left = s->seen[i] & among; left;) {
			size_t from = (size_t)__builtin_ctzll(left),
			       to = from +
				    (size_t)__builtin_ctzll(~(left >> from));
			add_cells(s, i, from, to, 1, n, wide);
			left &= ~0ull << to;
		}
}

/* Runs of cells that all see are taken together. */
AVX512 INLINE void add_step(const struct some *s, size_t m, size_t n, bool wide)
{
	uint32_t all = ~0u;
	for (size_t i = 0; i < m; i++)
		all &= s->seen[i];
	for (size_t from = 0, to; from < ATTEND_STEP; from = to) {
		uint64_t rest = all >> from;
		if (rest & 1) {
			to = from + (size_t)__builtin_ctzll(~rest);
			add_cells(s, 0, from, to, m, n, wide);
		} else {
			to = rest ? from + (size_t)__builtin_ctzll(rest)
				  : ATTEND_STEP;
			add_one_by_one(
				s, m, (uint32_t)((1ull << to) - (1ull << from)),
				n, wide);
		}
	}
}

AVX512 INLINE void add_some(const struct some *s, size_t m, size_t n, bool wide)
{
#define TOGETHER(k)                              \
	case k:                                  \
		if (k * n / 16 <= REGISTERS)     \
			add_step(s, k, n, wide); \
		break;
	switch (m) {
		TOGETHER(1)
		TOGETHER(2)
		TOGETHER(3)
		TOGETHER(4)
		TOGETHER(5)
		TOGETHER(6)
		TOGETHER(7)
		TOGETHER(8)
	}
}

/* A slice of all: each of the groups of queries reads the values again. */
AVX512 INLINE void add_all(const struct attend_ask *a,
			   const struct attend_query *q, size_t n_queries,
			   const float *room, size_t first, size_t n)
{
	__attribute__((aligned(64))) float wide[ATTEND_STEP * MOST_SLICE];
	const size_t most = MIN(REGISTERS * 16 / n, (size_t)MOST_TOGETHER);
	size_t groups = (n_queries + most - 1) / most;
	struct some s = { .rows = { (const char *)a->values.first + 2 * first,
				    a->values.stride },
			  .wide = wide };
	for (size_t i = 0; i < a->n_cells; i += ATTEND_STEP) {
		size_t m = MIN(a->n_cells - i, (size_t)ATTEND_STEP);
		s.cells = a->cells + i;
		if (groups > 1) {
			attend_fetch(
				&s.rows, s.cells + m,
				MIN(a->n_cells - i - m, (size_t)ATTEND_STEP),
				n);
			attend_widen(&s.rows, s.cells, m, n, wide);
		}
		for (size_t g = 0, k = 0; g < groups; g++) {
			size_t end = (g + 1) * n_queries / groups, l = 0;
			for (; k < end; k++, l++) {
				s.out[l] = q[k].out->values + first;
				s.seen[l] = q[k].seen[i / ATTEND_STEP];
				s.weights[l] = room + k * ATTEND_ROW + i;
			}
			if (groups > 1)
				add_some(&s, l, n, true);
			else
				add_some(&s, l, n, false);
		}
	}
}

#define WIDTHS(x) x(32) x(64) x(80) x(96)

#define ADD(n)                                                            \
	AVX512 static void add_##n(                                       \
		const struct attend_ask *a, const struct attend_query *q, \
		size_t n_queries, const float *room, size_t first)        \
	{                                                                 \
		add_all(a, q, n_queries, room, first, n);                 \
	}
WIDTHS(ADD)

void attend_values(const struct attend_ask *a, const struct attend_query *q,
		   size_t n, const float *room)
{
	size_t width = a->n % SLICE ? a->n : SLICE;
	for (size_t i = 0; i < n; i++)
		memset(q[i].out->values, 0, a->n * sizeof *q[i].out->values);
	for (size_t i = 0; i < a->n; i += width) {
#define CASE(size)                            \
	case size:                            \
		add_##size(a, q, n, room, i); \
		break;
		switch (width) {
			WIDTHS(CASE)
		}
	}
}

#endif
