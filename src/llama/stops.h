/* stops.h - which part of a growing text may already be shown.
 *
 * A model's tokens are bytes: a token may end inside a UTF-8 character or
 * inside a stop string. What could still become either is held back, so that
 * what comes out is whole characters and never a part of a stop string. Pure;
 * bytes that can never be UTF-8 pass through. */
#pragma once
#include "base/buf.h"

struct stops {
	const struct str *words; /* borrowed; none is empty */
	size_t n_words;
	struct buf text; /* not yet shown, from `shown` on */
	size_t shown;	 /* bytes of it that the last call gave out */
};

enum stops_outcome { STOPS_HIT = 1 };

/* `words` must outlive it. */
void stops_init(struct stops *s, const struct str *words, size_t n_words);
void stops_fini(struct stops *s);
/* Adds a piece; *out is what may be shown now and lives until the next call.
 * STOPS_HIT: a stop string is complete; *out ends before it, the rest is
 * dropped, and nothing more is to be added. */
int stops_add(struct stops *s, struct str piece, struct str *out);
/* The text has ended otherwise: everything that was held back. */
struct str stops_flush(struct stops *s);
