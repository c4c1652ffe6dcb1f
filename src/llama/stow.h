/* stow.h - carries states of slots to host memory (keep.h) and back.
 *
 * A copy holds up everything else, for 0.5 to 2 ms a MiB where it was measured,
 * so while other tasks run none is made that would take longer than a step with
 * a prompt in it. Compute thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct batch;
struct keep_state;
struct slot;

/* Keeps all that the slot holds, if that is much and nothing else holds it. */
void stow_all(struct batch *b, const struct slot *s);
/* Keeps what could not be cut from the slot once it goes on; one that is only
 * `optional` does not push many others out. */
void stow_part(struct batch *b, const struct slot *s, bool optional);
/* Of a slot that has its cells from another: it takes up none behind its
 * window any more, which the other could not use again. false as below. */
bool stow_trim(struct batch *b, const struct slot *s);
/* Gives the slot's sequence this state, a part of it or all. false: it would
 * not go in, and what the sequence holds is to be cleared. */
bool stow_back(struct batch *b, const struct slot *s, struct keep_state *k);
/* Is copying it quicker than computing so many tokens? */
bool stow_is_worth(const struct batch *b, const struct keep_state *k,
		   size_t n_tokens);
