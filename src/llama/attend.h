/* attend.h - attention of tokens to the cells they see, for all query heads
 * that share a head of keys: softmax(scale * q . k + bias) * v.
 *
 * The cells that some tokens see are listed first (attend_run.h) and taken by
 * parts; what keys and values are made into is shared by all queries. Sums are
 * 32-bit floats. What comes of a query does not depend on the others that are
 * computed with it, bit for bit, nor on where its cells lie.
 *
 * By AVX-512; without state; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	ATTEND_LARGEST = 256, /* numbers of a head */
	ATTEND_PART = 256,    /* cells that a query takes at a time */
	/* Cells that one of the queries taken together sees and another does
	 * not. */
	ATTEND_SPREAD = 64,
	ATTEND_WINDOW = ATTEND_PART + ATTEND_SPREAD,
	ATTEND_QUERIES = 96, /* that are taken together */
};

/* Can it be done here, for heads of n numbers? For the sizes that models have;
 * else nothing below is to be called. */
bool attend_suits(size_t n);

/* Keys or values of one head as 16-bit floats: those of cell i are i * stride
 * bytes behind the first. */
struct attend_rows {
	const void *first;
	size_t stride;
};

struct attend_ask {
	size_t n; /* numbers of a head, which suits */
	float scale;
	struct attend_rows keys, values;
	const uint32_t *cells;
	const float *bias; /* of each cell; NULL: none */
	size_t n_cells;	   /* at most ATTEND_WINDOW */
};

/* A part of the answer for one query: of some of the cells. */
struct attend_part {
	float *values; /* n; not divided by the sum yet */
	float most;    /* the largest score */
	float sum;     /* of exp(score - most); 0: nothing was seen */
};

struct attend_query {
	const float *q; /* n numbers */
	/* Bit i % 32 of seen[i / 32] is of cells[i]; none behind the last. At
	 * most ATTEND_PART are set. */
	const uint32_t *seen;
	struct attend_part *out;
};

/* Of up to ATTEND_QUERIES, with room for n * ATTEND_WINDOW floats. */
void attend(const struct attend_ask *a, const struct attend_query *q, size_t n,
	    float *room);
/* Adds the answer of further cells to a part. */
void attend_add(struct attend_part *to, const struct attend_part *more,
		size_t n);
/* The answer; zeros if nothing was seen. */
void attend_end(const struct attend_part *p, size_t n, float *out);

#ifdef __cplusplus
}
#endif
