/* draft_priv.h - what draft.c (what to draft, and what came of it) and
 * draft_model.c (a smaller model that drafts) share. */
#pragma once
#include "llama/batch_priv.h"
#include "llama/draft.h"
#include "llama/draft_source.h"
#include "llama/gain.h"

/* Steps without drafts after one had no room for them. */
#define DRAFT_NO_ROOM_STEPS 32

struct draft_slot {
	struct gain_task gain;
	enum gain_source from;
	int32_t tokens[DRAFT_MOST];
	size_t n;	   /* of them, in the batch being made */
	int32_t first_row; /* of their logits */
	double cost;	   /* of making them, units */
	/* The draft model's state. */
	struct tokens read;
	struct batch_owner owner; /* of it */
};

struct draft {
	struct draft_options o;
	struct gain gain;
	struct draft_slot *slots; /* owned; one for each of the batch */
	/* Of the step. */
	size_t n_tasks, n_drafted;
	double extra; /* what the drafts made it take longer, units */
	unsigned pause;
	/* Of the draft model; NULL: none. */
	struct llama_context *ctx;   /* owned */
	struct draft_source *source; /* owned */
	struct llama_batch reading;
	size_t context;	 /* tokens it can know */
	double draft_ns; /* a token drafted, smoothed; 0: not known */
	double read_ns;	 /* a token read, likewise */
};

/* ---- draft.c ---- */

/* A time in steps of one token; 0 as long as that is not known. */
double draft_units(const struct draft *d, double ns);
/* How many tokens are worth asking for. */
size_t draft_choose(const struct draft *d, const struct draft_slot *ds,
		    enum gain_source from, const struct gain_case *c);
/* How many of n tokens the model knows: two vocabularies may differ by some at
 * the end. */
size_t draft_known(const struct batch *b, const int32_t *p, size_t n);

/* ---- draft_model.c; d->ctx is there but for the first and the last ---- */

/* ERR_UNSUPPORTED: it does not fit. */
must_use int draft_model_open(struct batch *b, struct draft *d, struct err *e);
void draft_model_close(struct draft *d);
/* The state behind so many tokens is dropped. */
void draft_model_forget(struct draft *d, struct draft_slot *ds,
			llama_seq_id seq, size_t from);
/* Makes *ask, with what the draft model has to read first read; false: that is
 * not expected to pay, or takes more steps. */
bool draft_model_ask(struct batch *b, struct draft_slot *ds,
		     const struct batch_task *t, const struct gain_case *given,
		     struct draft_source_ask *ask);
/* Drafts for all that ask, into their slots. */
void draft_model_draft(struct batch *b, struct draft_source_ask *asks,
		       size_t n);
