#include "llama/attend_priv.h"

#include "base/base.h"

#ifdef __x86_64__

/* What is summed up at a time, so that it stays in registers: queries times
 * registers of a head. */
#define REGISTERS 24
#define MOST_TOGETHER 8

/* Some queries, and 32 cells as 32-bit floats. */
struct some {
	const float *values;
	const float *weights[MOST_TOGETHER];
	float *out[MOST_TOGETHER];
	uint32_t seen[MOST_TOGETHER];
};

/* `m` queries from `first` on, and the cells from `from` up to `to`. `m` and
 * `n` are constants. */
AVX512 INLINE void add_cells(const struct some *s, size_t first, size_t from,
			     size_t to, size_t m, size_t n)
{
	__m512 v[REGISTERS];
	size_t each = n / 16;
	UNROLL for (size_t i = 0; i < m; i++)
	{
		UNROLL for (size_t j = 0; j < each; j++)
		{
			v[i * each + j] =
				_mm512_loadu_ps(s->out[first + i] + 16 * j);
		}
	}
	for (size_t c = from; c < to; c++) {
		__m512 value[ATTEND_LARGEST / 16];
		UNROLL for (size_t j = 0; j < each; j++)
		{
			value[j] = _mm512_load_ps(s->values + c * n + 16 * j);
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
				  uint32_t among, size_t n)
{
	for (size_t i = 0; i < m; i++)
		for (uint32_t left = s->seen[i] & among; left;) {
			size_t from = (size_t)__builtin_ctz(left);
			uint64_t rest = ~((uint64_t)left >> from);
			size_t to = from + (size_t)__builtin_ctzll(rest);
			add_cells(s, i, from, to, 1, n);
			left &= to < 32 ? ~0u << to : 0;
		}
}

/* Runs of cells that all see are taken together. */
AVX512 INLINE void add_step(const struct some *s, size_t m, size_t n)
{
	uint32_t all = ~0u;
	for (size_t i = 0; i < m; i++)
		all &= s->seen[i];
	for (size_t from = 0; from < ATTEND_STEP;) {
		uint64_t rest = all >> from;
		size_t to;
		if (rest & 1) {
			to = from + (size_t)__builtin_ctzll(~rest);
			add_cells(s, 0, from, to, m, n);
		} else {
			to = rest ? from + (size_t)__builtin_ctzll(rest)
				  : ATTEND_STEP;
			add_one_by_one(
				s, m, (uint32_t)((1ull << to) - (1ull << from)),
				n);
		}
		from = to;
	}
}

AVX512 INLINE void add_some(const struct some *s, size_t m, size_t n)
{
#define TOGETHER(k)                                    \
	case k:                                        \
		if (k == 1 || k * n / 16 <= REGISTERS) \
			add_step(s, k, n);             \
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

AVX512 INLINE void values_n(const struct attend_ask *a,
			    const struct attend_query *q, size_t n_queries,
			    const float *room, size_t n)
{
	__attribute__((aligned(64))) float values[ATTEND_STEP * ATTEND_LARGEST];
	const size_t most =
		MIN(MAX(REGISTERS * 16 / n, (size_t)1), (size_t)MOST_TOGETHER);
	struct some s = { .values = values };
	for (size_t k = 0; k < n_queries; k++)
		memset(q[k].out->values, 0, n * sizeof *q[k].out->values);
	for (size_t i = 0; i < a->n_cells; i += ATTEND_STEP) {
		size_t m = MIN(a->n_cells - i, (size_t)ATTEND_STEP);
		attend_widen(&a->values, a->cells + i, m, n, values);
		for (size_t k = 0, together; k < n_queries; k += together) {
			size_t left = n_queries - k,
			       groups = (left + most - 1) / most;
			together = (left + groups - 1) / groups;
			for (size_t l = 0; l < together; l++) {
				s.out[l] = q[k + l].out->values;
				s.seen[l] = q[k + l].seen[i / ATTEND_STEP];
				s.weights[l] = room + (k + l) * ATTEND_ROW + i;
			}
			add_some(&s, together, n);
		}
	}
}

#define VALUES(size)                                                   \
	AVX512 static void values_##size(const struct attend_ask *a,   \
					 const struct attend_query *q, \
					 size_t n, const float *room)  \
	{                                                              \
		values_n(a, q, n, room, size);                         \
	}
ATTEND_SIZES(VALUES)

void attend_values(const struct attend_ask *a, const struct attend_query *q,
		   size_t n, const float *room)
{
#define CASE(size)                            \
	case size:                            \
		values_##size(a, q, n, room); \
		break;
	switch (a->n) {
		ATTEND_SIZES(CASE)
	}
}

#endif
