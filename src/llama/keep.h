/* keep.h - states of sequences in host memory, up to a ceiling of bytes (and
 * LIMIT_CACHE_STATES).
 *
 * Who has computed tokens puts their state here, and whoever asks the same
 * again for the same owner takes it from here. What was used longest ago goes
 * when the room is needed. A state is whole (it fits an empty sequence) or a
 * part: only what cannot be cut from a sequence that went on, to be laid over
 * one that holds the same tokens and more. Calls nothing of llama.cpp: what the
 * bytes mean is stow.c's. Belongs to the compute thread, but for the counts. */
#pragma once
#include "base/list.h"
#include "llama/batch.h"

#include <stdatomic.h>

struct keep_state {
	struct list link;	  /* in keep.states */
	struct tokens tokens;	  /* owned; what was computed */
	struct batch_owner owner; /* for whom */
	bool is_whole;
	bool is_held; /* may not go: somebody is about to use it */
	uint8_t *p;   /* owned */
	size_t n;
};

struct keep {
	struct list states;  /* keep_state.link; used longest ago first */
	size_t ceiling;	     /* bytes; 0: keeps nothing */
	atomic_size_t bytes; /* with the tokens and what describes them */
	atomic_size_t n;
};

void keep_init(struct keep *k, size_t ceiling);
void keep_fini(struct keep *k);

/* Bytes that a state takes up. */
size_t keep_cost(size_t n_tokens, size_t n_bytes);
/* A new state of the first `n_tokens` with n_bytes to be filled in; others go
 * for it. NULL: there is no room for so much, and nothing went. */
struct keep_state *keep_add(struct keep *k, const struct tokens *tokens,
			    size_t n_tokens, const struct batch_owner *owner,
			    bool is_whole, size_t n_bytes);
void keep_drop(struct keep *k, struct keep_state *s);
/* It is used now. */
void keep_touch(struct keep *k, struct keep_state *s);

/* The longest part of this owner whose tokens are the first of these, at most
 * `most` of them. */
struct keep_state *keep_find_part(const struct keep *k,
				  const struct tokens *tokens, size_t most,
				  const struct batch_owner *owner);
/* Tokens, `most` at most, that any state of this owner begins with. */
size_t keep_common(const struct keep *k, const struct tokens *tokens,
		   size_t most, const struct batch_owner *owner);
