#include "io/stream.h"
#include "io/stream_priv.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

/* Of one write, with what was gathered before it. */
#define PARTS_MAX 8

struct stream_write {
	uv_write_t req;
	struct buf bytes;
};

static struct stream_loop *join_loop(struct uv_loop_s *loop)
{
	struct stream_loop *l = uv_loop_get_data(loop);
	if (!l) {
		l = xrealloc(NULL, sizeof *l);
		l->users = 0;
		l->is_gathering = false;
		l->corked = NULL;
		l->cork_n = 0;
		uv_loop_set_data(loop, l);
		/* A write to a peer that left is to be an error, not the end of
		 * the program. libuv gives children the default back. */
		signal(SIGPIPE, SIG_IGN);
	}
	l->users++;
	return l;
}

static void leave_loop(struct uv_loop_s *loop, struct stream_loop *l)
{
	if (--l->users)
		return;
	uv_loop_set_data(loop, NULL);
	free(l);
}

static void open_handle(struct uv_loop_s *loop, struct stream *s, bool is_unix)
{
	int r = is_unix ? uv_pipe_init(loop, &s->uv.pipe, 0)
			: uv_tcp_init(loop, &s->uv.tcp);
	assert(r == 0);
}

struct stream *stream_new(struct uv_loop_s *loop, bool is_unix)
{
	static const struct stream_fns none;
	struct stream *s = xcalloc(1, sizeof *s);
	s->shared = join_loop(loop);
	s->fns = &none;
	buf_init(&s->waiting, SIZE_MAX / 2);
	buf_init(&s->sealed, SIZE_MAX / 2);
	open_handle(loop, s, is_unix);
	return s;
}

static void on_closed(uv_handle_t *h)
{
	struct stream *s = container_of(h, struct stream, uv.any);
	leave_loop(h->loop, s->shared);
	if (s->filter)
		s->filter->fns->free(s->filter);
	buf_fini(&s->waiting);
	buf_fini(&s->sealed);
	free(s);
}

static void uncork(struct stream_loop *l);
static void seal_end(struct stream *s);

void stream_free(struct stream *s)
{
	if (!s)
		return;
	if (s->shared->corked == s)
		uncork(s->shared);
	seal_end(s);
	s->fns = NULL;
	connect_free(steal(&s->connecting));
	if (!uv_is_closing(&s->uv.any))
		uv_close(&s->uv.any, on_closed);
}

static void on_renewed(uv_handle_t *h)
{
	struct stream *s = container_of(h, struct stream, uv.any);
	if (!s->fns) {
		on_closed(h);
		return;
	}
	open_handle(h->loop, s, h->type == UV_NAMED_PIPE);
	connect_again(s->connecting);
}

void stream_renew(struct stream *s)
{
	uv_close(&s->uv.any, on_renewed);
}

void stream_fail(struct stream *s, const struct err *e)
{
	if (s->is_failed)
		return;
	s->is_reading = false;
	if (!s->connecting)
		uv_read_stop(&s->uv.io);
	s->is_failed = true;
	buf_release(&s->waiting);
	buf_release(&s->sealed);
	if (s->fns->on_fail)
		s->fns->on_fail(s->ctx, e);
}

static void fail_uv(struct stream *s, int status)
{
	struct err e;
	err_set(&e, ERR_SYSTEM, "connection: %s", uv_strerror(status));
	stream_fail(s, &e);
}

/* ---- writing ---- */

/* Must what the owner writes wait? */
static bool is_held(const struct stream *s)
{
	return s->connecting || s->writing || s->is_shaking;
}

/* A close that drops bytes, or is to look like a fault, is no end. */
static void seal_end(struct stream *s)
{
	bool is_clean = !is_held(s) && !s->waiting.n && !s->is_broken;
	if (!s->filter || s->has_sealed_end || s->is_failed || !is_clean)
		return;
	s->has_sealed_end = true;
	s->filter->fns->seal_end(s->filter);
	stream_send_sealed(s);
}

static void shut(struct stream *s)
{
	uv_os_fd_t fd;
	seal_end(s);
	s->is_finishing = s->writing != NULL;
	if (s->writing)
		s->is_full = true;
	else if (uv_fileno(&s->uv.any, &fd) == 0)
		shutdown(fd, SHUT_WR); /* fails only if it is broken anyway */
}

static void on_written(uv_write_t *req, int status);

static void seal(struct stream *s, const uv_buf_t *bufs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s->filter->fns->seal(s->filter,
				     (struct str){ bufs[i].base, bufs[i].len });
}

/* Hands what waits over to libuv. An error comes to on_written. */
static void write_waiting(struct stream *s)
{
	struct buf *from = s->filter ? &s->sealed : &s->waiting;
	if (s->filter && s->waiting.n && !s->is_shaking) {
		s->filter->fns->seal(s->filter, buf_str(&s->waiting));
		buf_release(&s->waiting);
	}
	if (!from->n)
		return;
	struct stream_write *w = xcalloc(1, sizeof *w);
	w->bytes = *from;
	buf_init(from, SIZE_MAX / 2);
	s->writing = w;
	uv_buf_t b = { .base = w->bytes.p, .len = w->bytes.n };
	int r = uv_write(&w->req, &s->uv.io, &b, 1, on_written);
	assert(r == 0); /* refused only on a handle that is not open */
}

static void on_written(uv_write_t *req, int status)
{
	struct stream_write *w = container_of(req, struct stream_write, req);
	struct stream *s = container_of(req->handle, struct stream, uv.io);
	buf_fini(&w->bytes);
	free(w);
	s->writing = NULL;
	if (!s->fns || s->is_failed)
		return;
	if (status < 0) {
		fail_uv(s, status);
		return;
	}
	write_waiting(s);
	if (is_held(s))
		return;
	if (s->is_finishing)
		shut(s);
	if (s->is_full && !s->writing) {
		s->is_full = false;
		if (s->fns->on_drain)
			s->fns->on_drain(s->ctx);
	}
}

static void keep(struct stream *s, const char *p, size_t n)
{
	int full = buf_put(&s->waiting, p, n);
	assert(!full);
}

void stream_send_sealed(struct stream *s)
{
	if (s->writing || !s->sealed.n)
		return;
	uv_buf_t b = { .base = s->sealed.p, .len = s->sealed.n };
	int r = uv_try_write(&s->uv.io, &b, 1);
	if (r > 0 && (size_t)r == s->sealed.n) {
		buf_release(&s->sealed);
		return;
	}
	if (r > 0)
		buf_drop(&s->sealed, (size_t)r);
	write_waiting(s);
}

/* Tries the kernel first and keeps what it does not take. */
static void send_now(struct stream *s, const uv_buf_t *bufs, size_t n)
{
	if (s->filter) {
		seal(s, bufs, n);
		stream_send_sealed(s);
		return;
	}
	int r = uv_try_write(&s->uv.io, bufs, (unsigned)n);
	/* An error is met again, and told, by the write that follows. */
	size_t sent = r < 0 ? 0 : (size_t)r;
	for (size_t i = 0; i < n; i++) {
		size_t skip = MIN(sent, bufs[i].len);
		sent -= skip;
		if (bufs[i].len > skip)
			keep(s, bufs[i].base + skip, bufs[i].len - skip);
	}
	if (s->waiting.n)
		write_waiting(s);
}

static void uncork(struct stream_loop *l)
{
	struct stream *s = steal(&l->corked);
	if (!s)
		return;
	uv_buf_t b = { .base = l->cork, .len = l->cork_n };
	l->cork_n = 0;
	if (!s->is_failed)
		send_now(s, &b, 1);
}

/* False if the parts must go out now, after what is corked. */
static bool cork(struct stream *s, const struct str *parts, size_t n)
{
	struct stream_loop *l = s->shared;
	size_t total = 0;
	for (size_t i = 0; i < n; i++)
		total += parts[i].n;
	if (!l->is_gathering || total > sizeof l->cork - l->cork_n)
		return false;
	l->corked = s;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(l->cork + l->cork_n, parts[i].p, parts[i].n);
		l->cork_n += parts[i].n;
	}
	return true;
}

static void send_with_corked(struct stream *s, const struct str *parts,
			     size_t n)
{
	struct stream_loop *l = s->shared;
	uv_buf_t bufs[PARTS_MAX];
	size_t have = 0;
	if (l->cork_n)
		bufs[have++] = uv_buf_init(l->cork, (unsigned)l->cork_n);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			bufs[have++] = (uv_buf_t){ .base = (char *)parts[i].p,
						   .len = parts[i].n };
	}
	l->corked = NULL;
	l->cork_n = 0;
	if (have)
		send_now(s, bufs, have);
}

int stream_write(struct stream *s, const struct str *parts, size_t n)
{
	struct stream_loop *l = s->shared;
	assert(n < PARTS_MAX);
	if (s->is_failed)
		return 0;
	if (is_held(s)) {
		for (size_t i = 0; i < n; i++)
			keep(s, parts[i].p, parts[i].n);
	} else {
		if (l->corked != s)
			uncork(l);
		if (cork(s, parts, n))
			return 0;
		send_with_corked(s, parts, n);
	}
	s->is_full |= stream_queued(s) >= LIMIT_STREAM_QUEUE_BYTES;
	return s->is_full ? STREAM_FULL : 0;
}

size_t stream_queued(const struct stream *s)
{
	size_t n = s->waiting.n + s->sealed.n +
		   uv_stream_get_write_queue_size(&s->uv.io);
	return s->shared->corked == s ? n + s->shared->cork_n : n;
}

void stream_finish(struct stream *s)
{
	if (s->shared->corked == s)
		uncork(s->shared);
	if (s->is_failed)
		return;
	if (is_held(s))
		s->is_finishing = s->is_full = true;
	else
		shut(s);
}

void stream_break(struct stream *s)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	uv_os_fd_t fd;
	s->is_broken = true;
	if (uv_fileno(&s->uv.any, &fd) == 0) /* Unix sockets ignore it */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct stream *s = container_of(h, struct stream, uv.any);
	*out = uv_buf_init(s->shared->read, sizeof s->shared->read);
}

void stream_input(struct stream *s, struct str data)
{
	/* `s` may be closing after the call, but is not freed yet: that happens
	 * in a turn of the loop to come. */
	struct stream_loop *l = s->shared;
	l->is_gathering = true;
	if (s->filter)
		s->filter->fns->input(s->filter, data);
	else
		s->fns->on_data(s->ctx, data);
	l->is_gathering = false;
	uncork(l);
}

void stream_ended(struct stream *s)
{
	s->is_reading = false;
	s->is_ended = true;
	uv_read_stop(&s->uv.io);
	if (s->fns->on_end)
		s->fns->on_end(s->ctx);
}

static void on_read(uv_stream_t *io, ssize_t n, const uv_buf_t *b)
{
	struct stream *s = container_of(io, struct stream, uv.io);
	if (n == 0)
		return;
	if (n > 0)
		stream_input(s, (struct str){ b->base, (size_t)n });
	else if (n != UV_EOF)
		fail_uv(s, (int)n);
	else if (s->filter)
		s->filter->fns->input_end(s->filter);
	else
		stream_ended(s);
}

void stream_read_start(struct stream *s)
{
	if (s->is_ended || s->is_failed)
		return;
	int r = uv_read_start(&s->uv.io, on_alloc, on_read);
	assert(r == 0 || r == UV_EALREADY);
}

static void read_start(struct stream *s)
{
	if (s->filter)
		s->filter->fns->resume(s->filter);
	else
		stream_read_start(s);
}

void stream_resume(struct stream *s)
{
	if (s->is_reading)
		return;
	s->is_reading = true;
	if (!s->connecting && !s->is_shaking)
		read_start(s);
}

void stream_pause(struct stream *s)
{
	if (s->is_reading && !s->connecting && !s->is_shaking)
		uv_read_stop(&s->uv.io);
	s->is_reading = false;
}

/* ---- the two ways to get one ---- */

int stream_connect(struct uv_loop_s *loop, const char *address,
		   const struct stream_fns *fns, void *ctx,
		   void (*on_open)(void *ctx), struct stream **out,
		   struct err *e)
{
	auto_(connect) c = NULL;
	bool is_unix;
	if (connect_new(address, on_open, &c, &is_unix, e) < 0)
		return -1;
	struct stream *s = stream_new(loop, is_unix);
	stream_set_fns(s, fns, ctx);
	s->connecting = steal(&c);
	connect_start(s->connecting, s);
	*out = s;
	return 0;
}

/* Open for the owner's bytes. */
static void go_on(struct stream *s, void (*on_open)(void *ctx))
{
	if (!s->writing)
		write_waiting(s);
	if (!s->writing && s->is_finishing)
		shut(s);
	if (s->is_reading)
		read_start(s);
	if (on_open)
		on_open(s->ctx);
}

void stream_opened(struct stream *s, void (*on_open)(void *ctx))
{
	s->connecting = NULL;
	if (!s->filter) {
		go_on(s, on_open);
		return;
	}
	s->on_open = on_open;
	stream_read_start(s);
	s->filter->fns->begin(s->filter);
}

void stream_set_filter(struct stream *s, struct stream_filter *f)
{
	assert(!s->filter && !s->writing);
	f->s = s;
	s->filter = f;
	s->is_shaking = true;
	if (!s->connecting)
		stream_opened(s, NULL);
}

void stream_shaken(struct stream *s)
{
	s->is_shaking = false;
	if (!s->is_reading)
		uv_read_stop(&s->uv.io);
	go_on(s, steal(&s->on_open));
}

struct stream *stream_accept(uv_stream_t *server, bool is_unix)
{
	auto_(stream) s = stream_new(server->loop, is_unix);
	return uv_accept(server, &s->uv.io) == 0 ? steal(&s) : NULL;
}

void stream_set_fns(struct stream *s, const struct stream_fns *fns, void *ctx)
{
	s->fns = fns;
	s->ctx = ctx;
}

static void format_address(const struct sockaddr_storage *a,
			   struct stream_peer *out)
{
	char ip[INET6_ADDRSTRLEN] = "";
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		uv_ip4_name(in, ip, sizeof ip);
		snprintf(out->address, sizeof out->address, "%s:%d", ip,
			 ntohs(in->sin_port));
	} else if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)a;
		uv_ip6_name(in6, ip, sizeof ip);
		snprintf(out->address, sizeof out->address, "[%s]:%d", ip,
			 ntohs(in6->sin6_port));
	}
}

void stream_get_peer(struct stream *s, struct stream_peer *out)
{
	*out = (struct stream_peer){ 0 };
	uv_os_fd_t fd;
	if (uv_fileno(&s->uv.any, &fd) != 0)
		return;
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof a;
	if (getpeername(fd, (struct sockaddr *)&a, &n) != 0)
		return;
	format_address(&a, out);
	struct ucred who;
	n = sizeof who;
	out->is_unix = a.ss_family == AF_UNIX;
	if (!out->is_unix ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
		return;
	out->pid = who.pid;
	out->uid = who.uid;
	out->gid = who.gid;
}
