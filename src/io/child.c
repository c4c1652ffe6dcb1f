/* A child is over when its process has ended and all three of its pipes are at
 * their end, so that the last lines of a crash come before on_exit. A
 * grandchild may hold a pipe open: after DRAIN_MS the rest is not waited for.
 *
 * libuv closes handles asynchronously; the memory goes with the last of them.
 */
#include "io/child.h"
#include "base/buf.h"
#include "base/limits.h"

#include <signal.h>
#include <string.h>
#include <uv.h>

#define DRAIN_MS 500
#define PIPES 3

struct lines {
	struct child *child;
	enum child_output from;
	uv_pipe_t pipe;
	struct buf line; /* the one that is not yet at its end */
	bool is_open;
};

struct child {
	uv_process_t process;
	uv_timer_t timer; /* the grace of a stop, then the drain of the pipes */
	struct lines outputs[PIPES];
	const struct child_fns *fns; /* NULL once the owner let go */
	void *ctx;
	int status, signal;
	bool has_exited;
	bool is_over; /* on_exit was called, or will never be */
	size_t n_handles;
};

static void on_closed(uv_handle_t *h)
{
	struct child *c = h->data;
	if (--c->n_handles)
		return;
	for (size_t i = 0; i < PIPES; i++)
		buf_fini(&c->outputs[i].line);
	free(c);
}

static void close_handle(void *handle)
{
	uv_handle_t *h = handle;
	if (!uv_is_closing(h))
		uv_close(h, on_closed);
}

static void close_all(struct child *c)
{
	for (size_t i = 0; i < PIPES; i++)
		close_handle(&c->outputs[i].pipe);
	close_handle(&c->timer);
	close_handle(&c->process);
}

static void deliver(struct lines *l, struct str line)
{
	struct child *c = l->child;
	if (c->fns && line.n)
		c->fns->on_line(c->ctx, l->from, line);
}

static void over(struct child *c)
{
	if (c->is_over)
		return;
	c->is_over = true;
	if (c->fns)
		c->fns->on_exit(c->ctx, c->status, c->signal);
}

static void over_if_drained(struct child *c)
{
	for (size_t i = 0; i < PIPES; i++)
		if (c->outputs[i].is_open)
			return;
	if (c->has_exited)
		over(c);
}

/* What is at the line's end goes out; a line too long goes out in pieces. */
static void take(struct lines *l, struct str data)
{
	while (data.n && l->child->fns) {
		ptrdiff_t end = str_find(data, '\n');
		struct str part = end < 0 ? data : str_head(data, (size_t)end);
		size_t room = l->line.max - l->line.n;
		bool is_whole = end >= 0 && part.n <= room;
		part = str_head(part, room);
		data = str_tail(data, part.n + (is_whole ? 1 : 0));
		if (is_whole && !l->line.n) {
			deliver(l, part);
			continue;
		}
		if (buf_put(&l->line, part.p, part.n))
			return; /* not possible: it was cut to the room */
		if (!is_whole && l->line.n < l->line.max)
			return;
		deliver(l, buf_str(&l->line));
		buf_clear(&l->line);
	}
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	/* libuv reads into it and calls on_read before the next read. */
	static char shared[LIMIT_READ_BYTES];
	(void)h;
	(void)suggested;
	*out = uv_buf_init(shared, sizeof shared);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct lines *l = container_of((uv_pipe_t *)s, struct lines, pipe);
	if (n > 0) {
		take(l, (struct str){ buf->base, (size_t)n });
		return;
	}
	if (n == 0)
		return;
	uv_read_stop(s);
	deliver(l, buf_str(&l->line));
	buf_clear(&l->line);
	l->is_open = false;
	over_if_drained(l->child);
}

static void on_drained_enough(uv_timer_t *t)
{
	over(t->data);
}

static void on_process_exit(uv_process_t *p, int64_t status, int sig)
{
	struct child *c = container_of(p, struct child, process);
	c->has_exited = true;
	c->status = (int)status;
	c->signal = sig;
	if (!c->fns) {
		close_all(c);
		return;
	}
	uv_timer_start(&c->timer, on_drained_enough, DRAIN_MS, 0);
	over_if_drained(c);
}

static void init(struct child *c, uv_loop_t *loop)
{
	static const enum child_output order[PIPES] = { CHILD_STDOUT,
							CHILD_STDERR,
							CHILD_EVENTS };
	for (size_t i = 0; i < PIPES; i++) {
		struct lines *l = &c->outputs[i];
		l->child = c;
		l->from = order[i];
		l->is_open = true;
		buf_init(&l->line, l->from == CHILD_EVENTS
					   ? LIMIT_WORKER_EVENT_BYTES
					   : LIMIT_LOG_LINE_BYTES);
		uv_pipe_init(loop, &l->pipe, 0);
		l->pipe.data = c;
	}
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	c->process.data = c;
	c->n_handles = PIPES + 2;
}

static int spawn(struct child *c, uv_loop_t *loop, char *const argv[],
		 char *const env[])
{
	const uv_stdio_flags to_us = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
	uv_stdio_container_t stdio[PIPES + 1] = {
		{ .flags = UV_IGNORE },
		{ .flags = to_us },
		{ .flags = to_us },
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE |
			   UV_WRITABLE_PIPE },
	};
	for (size_t i = 0; i < PIPES; i++)
		stdio[i + 1].data.stream = (uv_stream_t *)&c->outputs[i].pipe;
	uv_process_options_t o = {
		.exit_cb = on_process_exit,
		.file = argv[0],
		.args = (char **)argv,
		.env = (char **)env,
		.flags = UV_PROCESS_DETACHED,
		.stdio_count = PIPES + 1,
		.stdio = stdio,
	};
	return uv_spawn(loop, &c->process, &o);
}

int child_start(struct uv_loop_s *loop, char *const argv[], char *const env[],
		const struct child_fns *fns, void *ctx, struct child **out,
		struct err *e)
{
	struct child *c = xcalloc(1, sizeof *c);
	init(c, loop);
	int failed = spawn(c, loop, argv, env);
	if (failed) {
		close_all(c);
		return err_set(e, ERR_SYSTEM, "run %s: %s", argv[0],
			       uv_strerror(failed));
	}
	c->fns = fns;
	c->ctx = ctx;
	for (size_t i = 0; i < PIPES; i++)
		uv_read_start((uv_stream_t *)&c->outputs[i].pipe, on_alloc,
			      on_read);
	*out = c;
	return 0;
}

int child_pid(const struct child *c)
{
	return c->process.pid;
}

static void on_grace_over(uv_timer_t *t)
{
	struct child *c = t->data;
	if (!c->has_exited)
		uv_process_kill(&c->process, SIGKILL);
}

void child_stop(struct child *c, unsigned grace_ms)
{
	if (c->has_exited)
		return;
	uv_process_kill(&c->process, SIGTERM);
	uv_timer_start(&c->timer, on_grace_over, grace_ms, 0);
}

void child_free(struct child *c)
{
	if (!c)
		return;
	c->fns = NULL;
	if (c->has_exited) {
		close_all(c);
		return;
	}
	/* The handle stays until the exit was seen, so that no zombie stays. */
	for (size_t i = 0; i < PIPES; i++)
		uv_read_stop((uv_stream_t *)&c->outputs[i].pipe);
	uv_process_kill(&c->process, SIGKILL);
}
