/* tokens.h - runs of token ids, and the way from text to them and back.
 *
 * The vocabulary is llama.cpp's and never changes once it is loaded, so any
 * thread may use these at any time. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct llama_vocab;

struct tokens {
	int32_t *p; /* owned */
	size_t n;
	size_t cap;
};

void tokens_fini(struct tokens *t);
#define auto_tokens __attribute__((cleanup(tokens_fini)))
void tokens_push(struct tokens *t, int32_t id);
void tokens_add(struct tokens *t, const struct tokens *more);
/* Length of the longest common beginning. */
size_t tokens_common(const struct tokens *a, const struct tokens *b);

enum tokens_flags {
	TOKENS_ADD_SPECIAL =
		1, /* begin and end marks, where the model wants them */
	TOKENS_PARSE_SPECIAL =
		2, /* "<|im_end|>" is that token and not its letters */
};
/* Appends the tokens of `text`. -1: more text than can be counted. */
must_use int tokens_from_text(const struct llama_vocab *v, struct str text,
			      int flags, struct tokens *out, struct err *e);
/* Appends what the token spells; `special` spells control tokens too. */
must_use int tokens_put_text(const struct llama_vocab *v, int32_t id,
			     bool special, struct buf *out);
