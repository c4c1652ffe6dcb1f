#include "io/child.h"
#include "base/buf.h"
#include "base/limits.h"
#include "io/timer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#define OUTPUTS (CHILD_EVENTS + 1)
/* What a dead child may have left in its sockets and pipes; a grandchild that
 * goes on writing is not read for ever. */
#define LAST_READS 256

struct output {
	uv_pipe_t uv;
	struct child *child;
	struct buf line; /* its beginning, until the rest comes */
};

struct child {
	uv_process_t uv;
	struct output outputs[OUTPUTS];
	const struct child_fns *fns; /* NULL: the owner has let go */
	void *ctx;
	struct timer kill;
	int pid;
	int handles; /* open in libuv */
	bool is_over;
	char bytes[4096]; /* being read */
};

/* ---- lines ---- */

/* Gives false when the owner let go meanwhile. */
static bool tell(struct output *o, struct str line)
{
	struct child *c = o->child;
	if (c->fns && c->fns->on_line)
		c->fns->on_line(c->ctx, (enum child_output)(o - c->outputs),
				line);
	return c->fns != NULL;
}

static bool tell_kept(struct output *o)
{
	struct buf line = o->line;
	buf_init(&o->line, line.max);
	bool goes_on = tell(o, buf_str(&line));
	buf_fini(&line);
	return goes_on;
}

static void take(struct output *o, struct str data)
{
	while (data.n) {
		ptrdiff_t end = str_find(data, '\n');
		size_t room = o->line.max - o->line.n;
		size_t n = end < 0 ? data.n : (size_t)end;
		bool is_whole = end >= 0 && n <= room;
		n = MIN(n, room);
		int full = buf_put(&o->line, data.p, n);
		assert(!full);
		data = str_tail(data, is_whole ? n + 1 : n);
		if ((is_whole || (n == room && data.n)) && !tell_kept(o))
			return;
	}
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
	struct child *c = h->data;
	if (--c->handles == 0 && !c->fns)
		free(c);
}

static void close_outputs(struct child *c)
{
	for (int i = 0; i < OUTPUTS; i++) {
		uv_handle_t *h = (uv_handle_t *)&c->outputs[i].uv;
		buf_release(&c->outputs[i].line);
		if (!uv_is_closing(h))
			uv_close(h, on_closed);
	}
}

/* What it wrote before it ended is in the kernel now; all of it is taken, even
 * when a grandchild keeps the other end open. */
static void take_rest(struct output *o)
{
	struct child *c = o->child;
	uv_os_fd_t fd;
	if (uv_is_closing((uv_handle_t *)&o->uv) ||
	    uv_fileno((uv_handle_t *)&o->uv, &fd) != 0)
		return;
	uv_read_stop((uv_stream_t *)&o->uv);
	for (int i = 0; c->fns && i < LAST_READS; i++) {
		ssize_t n = read(fd, c->bytes, sizeof c->bytes);
		if (n <= 0)
			break;
		take(o, (struct str){ c->bytes, (size_t)n });
	}
	if (c->fns && o->line.n)
		tell_kept(o);
}

static void on_exit_uv(uv_process_t *uv, int64_t status, int signal)
{
	struct child *c = container_of(uv, struct child, uv);
	c->is_over = true;
	timer_fini(&c->kill);
	for (int i = 0; i < OUTPUTS && c->fns; i++)
		take_rest(&c->outputs[i]);
	close_outputs(c);
	uv_close((uv_handle_t *)uv, on_closed);
	if (c->fns)
		c->fns->on_exit(c->ctx, (int)status, signal);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct child *c = h->data;
	*out = uv_buf_init(c->bytes, sizeof c->bytes);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct output *o = container_of(s, struct output, uv);
	if (n > 0)
		take(o, (struct str){ b->base, (size_t)n });
	else if (n < 0) /* it closed this one, and may well go on */
		uv_read_stop(s);
}

static void init_output(struct child *c, struct uv_loop_s *loop, int i)
{
	struct output *o = &c->outputs[i];
	int r = uv_pipe_init(loop, &o->uv, 0);
	assert(r == 0);
	c->handles++;
	o->child = c;
	o->uv.data = c;
	buf_init(&o->line, i == CHILD_EVENTS ? LIMIT_WORKER_EVENT_BYTES
					     : LIMIT_LOG_LINE_BYTES);
}

/* A pipe and no socket pair, which is what libuv would make: a program must be
 * able to open /dev/stderr. */
static int open_pipe(struct output *o, int *theirs, struct err *e)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	*theirs = ends[1];
	int r = uv_pipe_open(&o->uv, ends[0]);
	if (r == 0)
		return 0;
	close(ends[0]);
	return err_set(e, ERR_SYSTEM, "pipe: %s", uv_strerror(r));
}

/* ---- the start ---- */

/* A pipe that holds the whole input, so that nobody has to write it later. */
static int open_input(struct str input, int *theirs, struct err *e)
{
	int ends[2];
	if (input.n > LIMIT_CHILD_INPUT_BYTES)
		return err_set(e, ERR_TOO_LARGE,
			       "more than %d bytes for a program's stdin",
			       LIMIT_CHILD_INPUT_BYTES);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	ssize_t n = write(ends[1], input.p, input.n);
	assert(n == (ssize_t)input.n); /* an empty pipe has room for it */
	close(ends[1]);
	*theirs = ends[0];
	return 0;
}

static int spawn(struct child *c, struct uv_loop_s *loop, char *const argv[],
		 char *const env[], const struct str *input, struct err *e)
{
	auto_close int in = -1, out = -1, err_out = -1;
	if (input && open_input(*input, &in, e) < 0)
		return -1;
	if (open_pipe(&c->outputs[CHILD_STDOUT], &out, e) < 0 ||
	    open_pipe(&c->outputs[CHILD_STDERR], &err_out, e) < 0)
		return -1;
	uv_stdio_container_t stdio[] = {
		{ .flags = input ? UV_INHERIT_FD : UV_IGNORE, .data.fd = in },
		{ .flags = UV_INHERIT_FD, .data.fd = out },
		{ .flags = UV_INHERIT_FD, .data.fd = err_out },
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
		  .data.stream = (uv_stream_t *)&c->outputs[CHILD_EVENTS].uv },
	};
	uv_process_options_t how = {
		.exit_cb = on_exit_uv,
		.file = argv[0],
		.args = (char **)argv,
		.env = (char **)env,
		.flags = UV_PROCESS_DETACHED, /* a process group of its own */
		.stdio_count = ARRAY_LEN(stdio),
		.stdio = stdio,
	};
	/* What we were started with may not be closed on exec. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	int r = uv_spawn(loop, &c->uv, &how);
	if (r != 0)
		return err_set(e, ERR_SYSTEM, "start %s: %s", argv[0],
			       uv_strerror(r));
	c->pid = c->uv.pid;
	return 0;
}

static void on_grace_over(void *ctx)
{
	struct child *c = ctx;
	kill(-c->pid, SIGKILL);
}

static int start(struct uv_loop_s *loop, char *const argv[], char *const env[],
		 const struct str *input, const struct child_fns *fns,
		 void *ctx, struct child **out, struct err *e)
{
	struct child *c = xcalloc(1, sizeof *c);
	for (int i = 0; i < OUTPUTS; i++)
		init_output(c, loop, i);
	c->handles++;
	c->uv.data = c;
	if (spawn(c, loop, argv, env, input, e) < 0) {
		/* libuv has initialised the handle only if it came so far. */
		close_outputs(c);
		if (c->uv.loop)
			uv_close((uv_handle_t *)&c->uv, on_closed);
		else
			c->handles--;
		return -1;
	}
	for (int i = 0; i < OUTPUTS; i++)
		uv_read_start((uv_stream_t *)&c->outputs[i].uv, on_alloc,
			      on_read);
	c->fns = fns;
	c->ctx = ctx;
	timer_init(&c->kill, loop, on_grace_over, c);
	*out = c;
	return 0;
}

int child_start(struct uv_loop_s *loop, char *const argv[], char *const env[],
		const struct child_fns *fns, void *ctx, struct child **out,
		struct err *e)
{
	return start(loop, argv, env, NULL, fns, ctx, out, e);
}

int child_start_asked(struct uv_loop_s *loop, char *const argv[],
		      char *const env[], struct str input,
		      const struct child_fns *fns, void *ctx,
		      struct child **out, struct err *e)
{
	return start(loop, argv, env, &input, fns, ctx, out, e);
}

int child_pid(const struct child *c)
{
	return c->pid;
}

void child_stop(struct child *c, unsigned grace_ms)
{
	if (c->is_over)
		return;
	kill(-c->pid, SIGTERM);
	timer_start(&c->kill, grace_ms);
}

void child_free(struct child *c)
{
	if (!c)
		return;
	c->fns = NULL;
	if (c->is_over) {
		if (c->handles == 0)
			free(c);
		return;
	}
	/* libuv reaps it; then the last handle goes, and the memory. */
	kill(-c->pid, SIGKILL);
	close_outputs(c);
}
