/* attend.h - attention of one token to the cells it sees, for all query heads
 * that share a head of keys: softmax(scale * q . k + bias) * v.
 *
 * ggml's own for few tokens looks at every cell of the cache, also those of
 * other sequences, and takes them one by one. Here the cells a token sees are
 * listed first and 16 are taken at a time. Sums are 32-bit floats. What comes
 * of a token does not depend on the others that are computed with it.
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
};

/* Can it be done here, for heads of n numbers? For the sizes that models have;
 * else nothing below is to be called. */
bool attend_suits(size_t n);

/* The cells from `first` up to `end` that a row of a mask, 16-bit floats, does
 * not hide with minus infinity, and what it adds to their scores. Gives how
 * many; each list has room for all. */
size_t attend_seen(const uint16_t *mask, size_t first, size_t end,
		   uint32_t *cells, float *bias);

/* Keys or values of one head as 16-bit floats: those of cell i are i * stride
 * bytes behind the first. */
struct attend_rows {
	const void *first;
	size_t stride;
};

struct attend_ask {
	size_t n;	/* numbers of a head, which suits */
	size_t n_heads; /* that share the keys */
	float scale;
	struct attend_rows keys, values;
	const uint32_t *cells;
	const float *bias; /* of each cell */
	size_t n_cells;
};

/* A part of the answer for one query head: of some of the cells. */
struct attend_part {
	float *values; /* n; not divided by the sum yet */
	float most;    /* the largest score */
	float sum;     /* of exp(score - most); 0: nothing was seen */
};

/* q[h] are the n numbers of query head h. */
void attend(const struct attend_ask *a, const float *const *q,
	    struct attend_part *out);
/* Adds the answer of further cells to a part. */
void attend_add(struct attend_part *to, const struct attend_part *more,
		size_t n);
/* The answer; zeros if nothing was seen. */
void attend_end(const struct attend_part *p, size_t n, float *out);

#ifdef __cplusplus
}
#endif
