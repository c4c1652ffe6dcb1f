/* attend_priv.h - what the files of attend.h share. */
#pragma once
#include "llama/attend.h"
#include "llama/simd.h"

#include <string.h>

#define AVX512          \
	__attribute__(( \
		target("avx512f,avx512bw,avx512dq,fma,f16c,bmi2,popcnt")))

/* Heads of so many numbers. */
#define ATTEND_SIZES(x) x(32) x(64) x(80) x(96) x(128) x(192) x(256)

enum {
	ATTEND_STEP = 32, /* cells at a time: a word of those that are seen */
	ATTEND_ROW = ATTEND_WINDOW, /* floats of the room of one query */
};

/* ---- attend_keys.c ---- */
/* room[i * ATTEND_ROW + c] = q[i] . key of cell c, for each that is seen. How
 * each is summed up does not depend on what is computed beside it. */
void attend_keys(const struct attend_ask *a, const struct attend_query *q,
		 size_t n, float *room);

/* ---- attend_values.c ---- */
/* q[i].out->values = the sum of room[i * ATTEND_ROW + c] * value of cell c over
 * those that are seen, one after the other. */
void attend_values(const struct attend_ask *a, const struct attend_query *q,
		   size_t n, const float *room);

#ifdef __x86_64__
static inline const char *attend_row(const struct attend_rows *rows,
				     uint32_t cell)
{
	return (const char *)rows->first + cell * rows->stride;
}

/* Rows of up to 32 cells as 32-bit floats. */
AVX512 INLINE void attend_widen(const struct attend_rows *rows,
				const uint32_t *cells, size_t n_cells, size_t n,
				float *out)
{
	for (size_t i = 0; i < n_cells; i++) {
		const char *row = attend_row(rows, cells[i]);
		UNROLL for (size_t j = 0; j < n; j += 16)
		{
			_mm512_store_ps(out + i * n + j,
					_mm512_cvtph_ps(_mm256_loadu_si256(
						(const void *)(row + 2 * j))));
		}
	}
}

/* Rows of other heads lie between those of one, so the processor does not guess
 * where the next ones are. */
AVX512 INLINE void attend_fetch(const struct attend_rows *rows,
				const uint32_t *cells, size_t n_cells, size_t n)
{
	for (size_t i = 0; i < n_cells; i++) {
		const char *row = attend_row(rows, cells[i]);
		UNROLL for (size_t j = 0; j < 2 * n; j += 64)
		{
			_mm_prefetch(row + j, _MM_HINT_T0);
		}
	}
}
#endif
