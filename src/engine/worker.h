/* worker.h - one modeld-llama process, from its start to its end.
 *
 *   LOADING --ready--> READY --stop--> STOPPING --exit--> (on_gone)
 *      \--- failed, exit, stop, silence ----^
 *
 * The process tells its state on descriptor 3, one JSON object a line:
 *   {"event":"loading","fraction":0.4}
 *   {"event":"ready","context":8192,"slots":4,"kind":"text"}
 *   {"event":"failed","cause":"memory","message":"..."}
 *   {"event":"stats","running":1,"queued":0}
 * so readiness is an event, never polled for. When modeld dies the descriptor
 * closes, and the process ends by itself. When memory runs out, the kernel
 * takes it before us (oom.h). */
#pragma once
#include "engine/engine.h"

struct http_pool;
struct uv_loop_s;
struct worker;

struct worker_fns {
	void (*on_ready)(void *ctx);
	/* The process is gone; e says why it could not serve, or how it ended.
	 * The last callback; the owner frees the worker then or later. */
	void (*on_gone)(void *ctx, const struct err *e);
};

/* argv: the program and its options, ended by NULL, without --listen and
 * --events-fd, which are added. `socket` is where it shall listen; `label`
 * stands in log lines. All are copied. It gets our environment without what
 * looks like a secret. */
must_use int worker_start(struct uv_loop_s *loop, char *const argv[],
			  const char *socket, const char *label,
			  const struct worker_fns *fns, void *ctx,
			  struct worker **out, struct err *e);
/* Asks it to end; on_gone comes. Once is enough. */
void worker_stop(struct worker *w);
/* Ends it at once if it still runs, without a callback. */
void worker_free(struct worker *w);
BASE_AUTO(worker);

bool worker_is_ready(const struct worker *w);
struct http_pool *worker_pool(struct worker *w);
/* What it told about itself. */
struct worker_facts {
	double loaded;	 /* 0 to 1 */
	int64_t context; /* tokens per request; 0 until ready */
	int64_t slots;
	enum engine_mode mode; /* what it makes */
};
const struct worker_facts *worker_facts(const struct worker *w);
/* Resident bytes, read from /proc now; 0 if it is gone. */
uint64_t worker_memory(const struct worker *w);
/* A connection to it broke, and *e says how that looked. If the process is dead
 * although on_gone has not come yet (its socket closes first), puts the cause
 * into *e and gives true; also if it seems to be dying for want of memory, but
 * gives false. */
bool worker_explain(const struct worker *w, struct err *e);
