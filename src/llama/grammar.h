/* grammar.h - a grammar for llama.cpp, rewritten so that it is cheap to follow.
 *
 * llama.cpp tries each token of the vocabulary against each alternative that is
 * open, about half a millisecond for each of them: an enum of a thousand words
 * costs half a second for one token. Here alternatives that begin alike become
 * one that branches later, as in a tree of prefixes, also where the beginning
 * is in other rules. What the grammar matches stays the same.
 *
 * It is also read before llama.cpp reads it, which would print one that it does
 * not like, with all that a client's schema says, to stderr. Pure. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
#include "base/buf.h"
#include "base/err.h"

/* Appends to `out`, whose ceiling is the grammar's, what matches `text` or, if
 * it is not empty, `other`. -1, ERR_INVALID: llama.cpp would refuse it, or it
 * is too large. */
must_use int grammar_rewrite(struct str text, struct str other, struct buf *out,
			     struct err *e);
#ifdef __cplusplus
}
#endif
