#include "llama/stow.h"

#include "base/log.h"
#include "io/timer.h"
#include "llama/batch_priv.h"
#include "llama/weights.h"

/* Fewer tokens are computed again. */
#define LEAST_TOKENS 32
/* While others wait; what prompts may make a step longer, see decode.c. */
#define COPY_MOST_NS 200e6
/* Before any was measured: slow memory, its pages touched the first time. */
#define COPY_NS_PER_BYTE 1.0
/* Of a smaller copy, or a slower one, what is measured is that the machine did
 * something else meanwhile: believed, it would be the last one. */
#define MEASURE_LEAST_BYTES (1u << 20)
#define COPY_MOST_NS_PER_BYTE 8.0
/* An optional part leaves room for so many of its size. */
#define OPTIONAL_SHARE 8

static double copy_ns(const struct batch *b, size_t bytes)
{
	double each = b->copy_ns > 0 ? b->copy_ns : COPY_NS_PER_BYTE;
	return each * (double)bytes;
}

static void measure(struct batch *b, uint64_t began_ns, size_t bytes)
{
	double each = (double)(timer_now_ns() - began_ns) / (double)bytes;
	if (bytes < MEASURE_LEAST_BYTES)
		return;
	each = MIN(each, COPY_MOST_NS_PER_BYTE);
	b->copy_ns = batch_smooth(b->copy_ns, each, 0.3);
}

bool stow_is_worth(const struct batch *b, const struct keep_state *k,
		   size_t n_tokens)
{
	return b->prompt_ns <= 0 ||
	       b->prompt_ns * (double)n_tokens > copy_ns(b, k->n);
}

static llama_state_seq_flags flags_of(const struct batch *b, bool is_whole)
{
	return is_whole || b->parts_are_whole
		       ? LLAMA_STATE_SEQ_FLAGS_NONE
		       : LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY;
}

static void copy(struct batch *b, const struct slot *s, bool is_whole,
		 size_t bytes)
{
	struct err e;
	uint64_t began = timer_now_ns();
	struct keep_state *k =
		keep_add(&b->keep, &s->cells, s->cells.n, &s->owner,
			 is_whole || b->parts_are_whole, bytes);
	if (!k)
		return;
	if (llama_state_seq_get_data_ext(b->ctx, k->p, k->n, s->seq,
					 flags_of(b, is_whole)) != k->n) {
		weights_complaint(ERR_ENGINE, &e);
		log_warn("a state was not kept: %s", e.msg);
		keep_drop(&b->keep, k);
		return;
	}
	measure(b, began, bytes);
	atomic_fetch_add(&b->n_kept, 1);
}

/* ---- all of it ---- */

/* Does somebody else hold what this slot does? A state that can be cut is also
 * in every longer one. */
static bool is_elsewhere(const struct batch *b, const struct slot *s)
{
	bool can_cut = b->cut == BATCH_CUT_ANYWHERE;
	for (int i = 0; i < b->facts.slots; i++) {
		const struct slot *o = &b->slots[i];
		if (o != s && batch_owner_same(&o->owner, &s->owner) &&
		    (can_cut || o->cells.n == s->cells.n) &&
		    tokens_common(&o->cells, &s->cells) == s->cells.n)
			return true;
	}
	list_each (it, &b->keep.states) {
		const struct keep_state *k =
			container_of(it, struct keep_state, link);
		if (k->is_whole && batch_owner_same(&k->owner, &s->owner) &&
		    (can_cut || k->tokens.n == s->cells.n) &&
		    tokens_common(&k->tokens, &s->cells) == s->cells.n)
			return true;
	}
	return false;
}

/* Those that are in the slot's, which is about to be kept. */
static void drop_shorter(struct batch *b, const struct slot *s)
{
	list_each (it, &b->keep.states) {
		struct keep_state *k =
			container_of(it, struct keep_state, link);
		if (!k->is_held && batch_owner_same(&k->owner, &s->owner) &&
		    tokens_common(&k->tokens, &s->cells) == k->tokens.n)
			keep_drop(&b->keep, k);
	}
}

void stow_all(struct batch *b, const struct slot *s)
{
	if (!b->keep.ceiling || s->cells.n < LEAST_TOKENS || is_elsewhere(b, s))
		return;
	size_t bytes =
		llama_state_seq_get_size_ext(b->ctx, s->seq, flags_of(b, true));
	if (keep_cost(s->cells.n, bytes) > b->keep.ceiling ||
	    (!list_is_empty(&b->active) && copy_ns(b, bytes) > COPY_MOST_NS))
		return;
	if (b->cut == BATCH_CUT_ANYWHERE)
		drop_shorter(b, s);
	copy(b, s, true, bytes);
}

/* ---- parts ---- */

static bool has_part(struct batch *b, const struct slot *s)
{
	list_each (it, &b->keep.states) {
		struct keep_state *k =
			container_of(it, struct keep_state, link);
		if (k->is_whole == b->parts_are_whole &&
		    k->tokens.n == s->cells.n &&
		    batch_owner_same(&k->owner, &s->owner) &&
		    tokens_common(&k->tokens, &s->cells) == s->cells.n) {
			keep_touch(&b->keep, k);
			return true;
		}
	}
	return false;
}

void stow_part(struct batch *b, const struct slot *s, bool optional)
{
	if (!b->keep.ceiling || s->cells.n < LEAST_TOKENS || has_part(b, s))
		return;
	size_t bytes = llama_state_seq_get_size_ext(b->ctx, s->seq,
						    flags_of(b, false));
	if (copy_ns(b, bytes) > COPY_MOST_NS ||
	    (optional && bytes > b->keep.ceiling / OPTIONAL_SHARE))
		return;
	copy(b, s, false, bytes);
}

/* ---- back ---- */

bool stow_trim(struct batch *b, const struct slot *s)
{
	llama_state_seq_flags flags = flags_of(b, false);
	size_t n = llama_state_seq_get_size_ext(b->ctx, s->seq, flags);
	auto_free uint8_t *p = xcalloc(n, 1);
	return llama_state_seq_get_data_ext(b->ctx, p, n, s->seq, flags) == n &&
	       llama_state_seq_set_data_ext(b->ctx, p, n, s->seq, flags) == n;
}

bool stow_back(struct batch *b, const struct slot *s, struct keep_state *k)
{
	struct err e;
	uint64_t began = timer_now_ns();
	keep_touch(&b->keep, k);
	if (llama_state_seq_set_data_ext(b->ctx, k->p, k->n, s->seq,
					 flags_of(b, k->is_whole)) != k->n) {
		weights_complaint(ERR_ENGINE, &e);
		log_warn("a kept state did not go back: %s", e.msg);
		return false;
	}
	measure(b, began, k->n);
	atomic_fetch_add(&b->n_restored, 1);
	return true;
}
