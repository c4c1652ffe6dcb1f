/* work.h - a handler's blocking part, on libuv's thread pool.
 *
 * Embedded in what the handler needs, allocated with xcalloc, so that its arena
 * may be used from then on; work frees it.
 * If the client leaves meanwhile the work still ends, and nothing is said. */
#pragma once
#include "api/api.h"

struct work {
	struct api *api;
	struct http_exchange *x; /* NULL: the client has gone */
	struct arena arena;	 /* for `run` and `done` */
	/* On another thread: no exchange, no engine. */
	int (*run)(struct work *w, struct err *e);
	/* On the loop, only if `run` did not fail and the client is there. */
	void (*done)(struct work *w, int outcome);
	/* On the loop, at the very end, in every case; may be NULL. */
	void (*fini)(struct work *w);
};

/* `w` is the first member of its struct. A failure (-1) is answered as text;
 * other outcomes are `done`'s to tell. */
void work_start(struct work *w, struct api *api, struct http_exchange *x,
		int (*run)(struct work *w, struct err *e),
		void (*done)(struct work *w, int outcome));
