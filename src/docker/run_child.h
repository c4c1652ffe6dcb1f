/* run_child.h - one of our own commands as a child: started, stopped, started
 * again when it ends.
 *
 * The child dies with us (SIGTERM, so that it undoes what it did), writes to
 * our standard error, and inherits no descriptor but those named. */
#pragma once
#include "base/err.h"
#include "io/timer.h"

#include <uv.h>

struct run_child {
	const char *command, *action; /* "net", "up" or NULL */
	const char *config;	      /* borrowed: what --config names */
	const char *log_level;
	int socket; /* descriptor to pass as LISTEN_FDS; -1: none */
	/* It said that it is ready, or it ended; `status` as of waitpid(). */
	void (*on_ready)(void *ctx, struct run_child *c);
	void (*on_exit)(void *ctx, struct run_child *c, int status);
	void *ctx;
	uv_loop_t *loop;
	uv_pipe_t *ready; /* owned; NULL: it was ready, or does not run */
	struct timer kill;
	int pid; /* 0: it does not run */
	uint64_t started_ms;
};

void run_child_init(struct run_child *c, uv_loop_t *loop);
must_use int run_child_start(struct run_child *c, struct err *e);
/* SIGTERM now, SIGKILL after LIMIT_CHILD_STOP_MS; on_exit still comes. */
void run_child_stop(struct run_child *c);
/* Call it at SIGCHLD: has it ended? */
void run_child_reap(struct run_child *c);
void run_child_fini(struct run_child *c);
