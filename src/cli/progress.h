/* progress.h - how far a transfer is, on one line of a terminal, and what the
 * server says about it meanwhile: JSON, an event a line. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct progress {
	struct buf line; /* of the server's answer, not yet whole */
	uint64_t bytes;
	uint64_t total_bytes;
	uint64_t drawn_ms; /* when; 0: never */
	bool is_tty;
};

/* Draws only if stdout is a terminal. 0: nobody knows how many. */
void progress_init(struct progress *p, uint64_t total_bytes);
void progress_fini(struct progress *p);
/* So many bytes more. */
void progress_add(struct progress *p, uint64_t bytes);
/* Takes the line away. */
void progress_clear(struct progress *p);
/* A call_piece_fn; `ctx` is the progress. -1: the server says that it failed.
 */
must_use int progress_feed(void *ctx, struct str piece, struct err *e);
