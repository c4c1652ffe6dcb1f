/* slot.h - the places in a llama_context: plain values of the compute thread,
 * but for what is shown. */
#pragma once
#include "llama/batch.h"

#include <llama.h>
#include <stdatomic.h>

struct batch_task;

/* A sequence of the llama_context. Its cells stay when its task ends: the next
 * prompt that begins like them need not compute them again. */
struct slot {
	llama_seq_id seq;
	struct batch_task *task;  /* NULL: idle */
	struct tokens cells;	  /* the tokens whose state is in memory */
	struct batch_owner owner; /* of the cells */
	size_t *shared; /* with each slot: so many first cells are the same */
	size_t n_new;	/* tokens of it in the batch being made */
	int32_t row;	/* the last of them, if it is all there is */
	uint64_t used;	/* order of last use */
	uint64_t turn;	/* when its task's adapters last had theirs */
};

/* What may be known of a slot from outside, as of the last step. */
struct slot_view {
	atomic_bool is_busy;
	atomic_size_t n_cells;
};

/* Where a sequence can be cut so that its first tokens stay. */
enum batch_cut {
	BATCH_CUT_ANYWHERE,
	BATCH_CUT_IN_WINDOW, /* as long as the window before it is there */
	BATCH_CUT_NOWHERE,
};
