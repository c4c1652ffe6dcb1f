/* draft_source.h - where drafted tokens come from, by llama.cpp's C++ library
 * "common": the text so far (what followed its last words when they came
 * before), and a smaller model with the same vocabulary. No exception crosses.
 * Belongs to the compute thread. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
#include "base/err.h"

struct draft_source;
struct llama_batch;
struct llama_context;

/* What followed when the last `key` of n tokens came before, up to `most`
 * tokens; 0 if they did not. */
size_t draft_source_lookup(const int32_t *tokens, size_t n, size_t key,
			   int32_t *out, size_t most);

struct draft_source_options {
	struct llama_context *target; /* of the model; both must outlive it */
	struct llama_context
		*drafts; /* of the draft model, as many sequences */
	size_t n_sequences;
	int most, least; /* tokens of a draft; a shorter one is none */
	float p_min;	 /* a token that is less probable ends the draft */
};
/* The two vocabularies fit. */
must_use int draft_source_open(const struct draft_source_options *o,
			       struct draft_source **out, struct err *e);
void draft_source_close(struct draft_source *s);

/* Computes the state of tokens of the draft model; false: there was no room,
 * or it could not. */
bool draft_source_read(struct draft_source *s, const struct llama_batch *batch);

struct draft_source_ask {
	int32_t sequence; /* each at most once */
	int32_t last;	  /* the token to go on from: it was not read yet */
	size_t pos;	  /* its position; all before it were read */
	size_t most;
	int32_t *out;
	size_t n_out; /* set */
};
/* Drafts for all that ask. What was read of a sequence is then `last` and its
 * draft but for the last token, and maybe that. */
void draft_source_draft(struct draft_source *s, struct draft_source_ask *asks,
			size_t n);
#ifdef __cplusplus
}
#endif
