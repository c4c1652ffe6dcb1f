/* attend_run.h - which cells tokens see: the cells of tokens that see nearly
 * the same are listed once, and what each token sees of them is marked.
 *
 * Only where attend_suits(). Without state; any thread. */
#pragma once
#include "llama/attend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ATTEND_WORDS = ATTEND_WINDOW / 32 };

/* Rows of a mask, one for each token, of 16-bit floats: minus infinity hides a
 * cell, anything else is added to its score. */
struct attend_masks {
	const void *first;
	size_t stride; /* bytes */
	size_t n_cells;
};

/* Tokens one after the other, in the room it was made in. */
struct attend_run {
	size_t n_tokens;
	size_t n_cells; /* that any of them sees, in order */
	uint32_t *cells;
	float *bias; /* of each; NULL: none */

	/* The rest is its own. Rows of bits: the cells of the mask that each
	 * token sees and that any does, and those of the list. */
	size_t n_words, n_seen;
	uint32_t *marks, *any, *seen;
	/* How many each sees of the list's first 0, 256, 512... cells. */
	size_t n_before;
	uint32_t *before;
};

/* Bytes of room for up to n_tokens; a multiple of 64. */
size_t attend_run_room(size_t n_tokens, size_t n_cells);

/* As many of n tokens, from the first on, as can be taken together: of what
 * any of them sees, each sees all but ATTEND_SPREAD cells. At least one; a
 * token to whose scores the mask adds something stands alone. */
void attend_run_make(struct attend_run *r, const struct attend_masks *masks,
		     size_t n, void *room);

/* How many parts the cells make that any one of them sees, of ATTEND_PART but
 * for the last; at least one, which may be of none. */
size_t attend_run_parts(const struct attend_run *r);

/* The cells of a part, as attend_query has it. They are among the ATTEND_WINDOW
 * in the list from part * ATTEND_PART on. */
void attend_run_part(const struct attend_run *r, size_t token, size_t part,
		     uint32_t seen[ATTEND_WORDS]);

#ifdef __cplusplus
}
#endif
