/* child.h - a child process: its start, its output, its end.
 *
 * The child gets /dev/null as stdin, its own process group, and on descriptor 3
 * one end of a socket pair; when we die, the child reads EOF there, which is
 * how it learns to stop. All other descriptors of ours stay closed in it. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct child;
struct uv_loop_s;

enum child_output { CHILD_STDOUT, CHILD_STDERR, CHILD_EVENTS };

struct child_fns {
	/* One line, without its newline, of stdout, stderr or descriptor 3. A
	 * line longer than its limit comes in pieces. */
	void (*on_line)(void *ctx, enum child_output from, struct str line);
	/* It ended, and all that it wrote has been delivered. `signal` is 0 if
	 * it exited with `status`. The last callback. */
	void (*on_exit)(void *ctx, int status, int signal);
};

/* argv[0] is the program's path; argv and env end in NULL; env NULL means ours.
 * The child is the caller's. */
must_use int child_start(struct uv_loop_s *loop, char *const argv[],
			 char *const env[], const struct child_fns *fns,
			 void *ctx, struct child **out, struct err *e);
/* The same for a program that is asked something: it reads `input` (at most
 * LIMIT_CHILD_INPUT_BYTES) and the end of it from its stdin, and is looked for
 * in PATH. */
must_use int child_start_asked(struct uv_loop_s *loop, char *const argv[],
			       char *const env[], struct str input,
			       const struct child_fns *fns, void *ctx,
			       struct child **out, struct err *e);
int child_pid(const struct child *c);
/* SIGTERM now, SIGKILL after `grace_ms`. on_exit still comes. */
void child_stop(struct child *c, unsigned grace_ms);
/* After on_exit: lets go of it. Before: SIGKILL, and no callback comes. */
void child_free(struct child *c);
BASE_AUTO(child);
