/* prefix.h - which cells of the context a new prompt can use again.
 *
 * The longest beginning that any slot holds is used: in place if that slot is
 * idle and would lose little, else shared with a free slot, which costs
 * nothing in a unified cache. What a slot gives up goes to host memory (stow.h)
 * and comes back when that is quicker than computing it. Models whose state
 * cannot be cut (recurrent ones, or behind a sliding window) have parts of it
 * kept on the way: near a prompt's end, where prompts part, where an answer
 * ended, and now and then in a long prompt; a prompt goes on from the last part
 * that fits.
 * Cells are used only by whom they were made for (struct batch_owner), whether
 * they lie idle, are being computed right now or are in host memory; room is
 * taken from anybody. Belongs to the compute thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct batch;
struct batch_task;
struct slot;

/* An idle slot for the task, holding what it can use of its tokens (never all:
 * one is left to compute); NULL if all are busy. */
struct slot *prefix_place(struct batch *b, struct batch_task *t);
/* Is a running task about to compute what this one begins with, so that waiting
 * for it is the shorter way? It ends by itself: running tasks go on. */
bool prefix_is_coming(struct batch *b, const struct batch_task *t);
/* Cells that all running tasks and this one, which is none yet, take up now;
 * what several share counts once. */
size_t prefix_cells(const struct batch *b, const struct batch_task *t);
/* Missing tokens after which a part of the state is to be kept, before more are
 * computed: prefix_computed() keeps it. */
size_t prefix_until_mark(const struct batch_task *t);
/* The task's slot has more cells than before. */
void prefix_computed(struct batch *b, struct batch_task *t);
/* Gives up the idle slot that was used longest ago; false if none holds
 * anything. */
bool prefix_evict(struct batch *b);
/* Empties a slot; what it held may come back. */
void prefix_give_up(struct batch *b, struct slot *s);
/* Empties it for good. */
void prefix_clear(struct batch *b, struct slot *s);
