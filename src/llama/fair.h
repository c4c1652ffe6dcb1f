/* fair.h - whose turn it is.
 *
 * A free place goes to the caller (struct batch_owner) that holds fewest, among
 * those to the one whose last turn is longest ago, and of one caller's tasks to
 * the oldest. So a caller with a hundred tasks makes another wait for one of
 * them and not for all, and nobody waits for ever: who comes new takes its turn
 * behind all that wait. A task that had to leave its place for lack of room
 * comes before all.
 *
 * Prompts that are computed in one step share its room, since a short one
 * should not wait for the end of a long one. Belongs to the compute thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct batch;
struct batch_task;
struct fair_caller;

struct fair {
	struct fair_caller *callers; /* owned; those without a task are free */
	size_t n;
	uint64_t clock; /* counts turns */
};

void fair_fini(struct fair *f);

/* A task is here (it waits, or has a place), until it leaves. */
void fair_enter(struct batch *b, struct batch_task *t);
void fair_leave(struct batch *b, struct batch_task *t);
/* It gets a place, and gives it back. */
void fair_take(struct batch *b, const struct batch_task *t);
void fair_give(struct batch *b, const struct batch_task *t);

/* The tasks of b->queue one after the other, each once, as they should get
 * places; what fair_take() changes counts for the next. NULL after the last. */
void fair_rewind(struct batch *b);
struct batch_task *fair_next(struct batch *b);

/* Tokens of this step for prompts that lack so many each, oldest first. Half of
 * the room is for all alike, so that each comes on; the rest is for those with
 * least left: many together are done sooner, on average, one by one. */
void fair_share(const size_t *lacks, size_t n, size_t room, size_t *gets);
