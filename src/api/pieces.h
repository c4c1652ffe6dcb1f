/* pieces.h - an answer that jobs of api.bulk make piece by piece: one is made,
 * the loop sends it, and the next is begun when the client has taken most of
 * what it got. So a slow client costs one piece of memory, and one that leaves
 * stops the work.
 *
 * Embedded, as the first member, in what the handler needs, which is allocated
 * with xcalloc; pieces frees it. */
#pragma once
#include "api/api.h"
#include "io/lane.h"

struct pieces;

enum pieces_outcome { PIECES_FULL = 1, PIECES_END };

struct pieces_fns {
	/* On another thread, no two at a time: makes the next piece. A failure
	 * (-1) is answered as text, or cuts an answer that has begun. */
	int (*make)(struct pieces *p, struct err *e);
	/* On the loop, with what `make` gave, while the client is there: sends
	 * it. 0 or PIECES_FULL, as exchange_write() gives it, or PIECES_END:
	 * that was the last. */
	int (*send)(struct pieces *p, int outcome);
	/* On another thread, at the very end, in every case. */
	void (*fini)(struct pieces *p);
};

struct pieces {
	struct lane_job job;
	struct api *api;
	struct http_exchange *x; /* NULL: the client has gone */
	const struct pieces_fns *fns;
	bool is_working; /* a job has it */
	bool is_full;	 /* the client must take what it got first */
};

void pieces_start(struct pieces *p, struct api *api, struct http_exchange *x,
		  const struct pieces_fns *fns);
