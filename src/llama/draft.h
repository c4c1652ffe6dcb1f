/* draft.h - speculation: tokens that are likely to come are computed together
 * with the one that came, and stand as far as the task's sampler then picks
 * them. Answers are what they would have been; they come sooner.
 *
 * The drafts are looked up in the text so far or made by a smaller model, and
 * only where that pays (gain.h). Where a state cannot be cut there is none of
 * it. A batch without it has b->draft NULL, which all functions here take.
 * Belongs to the compute thread. */
#pragma once
#include "base/err.h"

struct batch;
struct batch_options;
struct slot;
struct weights;

/* A draft's tokens, at most. */
#define DRAFT_MOST 16

struct draft_options {
	const struct weights *model; /* NULL: none; must outlive the batch */
	bool looks_up;		     /* in the text so far */
	bool is_adaptive;	     /* only where it pays */
	int most, least;	     /* tokens of a draft */
	float p_min;		     /* of a token that the model drafts */
};

struct draft;

/* Sets b->draft, once its context and slots are there. ERR_UNSUPPORTED: the
 * draft model does not fit, or drafts cannot be had with this model. */
must_use int draft_open(struct batch *b, const struct draft_options *o,
			struct err *e);
void draft_close(struct batch *b);

/* A task took the slot. */
void draft_enter(struct batch *b, const struct slot *s);
/* Adds drafts to a batch that holds a token for each running answer and nothing
 * else. */
void draft_put(struct batch *b);
/* Drafted tokens in the batch. */
size_t draft_count(const struct batch *b);
/* What part of its time the batch would have taken without them. */
double draft_plain_part(const struct batch *b);
/* The batch was computed, in so long. */
void draft_computed(struct batch *b, double ns);
/* It had no room. True: there were drafts, and it is to be tried without. */
bool draft_had_no_room(struct batch *b);
/* The slot's i-th drafted token, -1 behind the last; its row of logits. */
int32_t draft_token(const struct batch *b, const struct slot *s, size_t i);
int32_t draft_row(const struct batch *b, const struct slot *s, size_t i);
/* So many of the slot's drafted tokens are now cells; drops the others. */
void draft_settle(struct batch *b, const struct slot *s, size_t n_taken);
/* The number of threads has changed. */
void draft_set_threads(struct batch *b, int threads);
