/* wire_make.h - for tests: a raw client that sends any bytes and sees what
 * comes back, while the loop under test runs on the same thread. */
#pragma once
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

struct wire {
	uv_loop_t *loop;
	int fd;
	struct buf got;
	bool is_over; /* the peer sent FIN or a reset */
	bool is_reset;
};

static inline void wire_open(struct wire *w, uv_loop_t *loop, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	*w = (struct wire){ .loop = loop };
	buf_init(&w->got, SIZE_MAX / 2);
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(w->fd, (struct sockaddr *)&a, sizeof a) < 0)
		abort();
}

static inline void wire_open_tcp(struct wire *w, uv_loop_t *loop, int port)
{
	struct sockaddr_in a = { 0 };
	uv_ip4_addr("127.0.0.1", port, &a);
	*w = (struct wire){ .loop = loop };
	buf_init(&w->got, SIZE_MAX / 2);
	w->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(w->fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    fcntl(w->fd, F_SETFL, O_NONBLOCK) < 0)
		abort();
}

static inline void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(steal_fd(&w->fd));
	buf_fini(&w->got);
}

/* One turn: the loop does what it can, then whatever comes first is waited for,
 * 10 ms at most. */
static inline void wire_turn(struct wire *w)
{
	char bytes[65536];
	uv_run(w->loop, UV_RUN_NOWAIT);
	struct pollfd both[] = {
		{ .fd = uv_backend_fd(w->loop), .events = POLLIN },
		{ .fd = w->is_over ? -1 : w->fd, .events = POLLIN },
	};
	int wait = uv_backend_timeout(w->loop);
	poll(both, 2, wait < 0 || wait > 10 ? 10 : wait);
	ssize_t n = w->fd < 0 ? -1 : recv(w->fd, bytes, sizeof bytes, 0);
	if (n > 0 && buf_put(&w->got, bytes, (size_t)n))
		abort();
	w->is_reset |= n < 0 && errno == ECONNRESET;
	w->is_over |= n == 0 || w->is_reset;
}

/* A program that hangs here is ended by its alarm(). */
static inline void wire_send_bytes(struct wire *w, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(w->fd, p, n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent < 0) {
			wire_turn(w);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

static inline void wire_send(struct wire *w, const char *text)
{
	wire_send_bytes(w, text, strlen(text));
}

static inline bool wire_has(const struct wire *w, const char *text)
{
	return memmem(buf_str(&w->got).p, w->got.n, text, strlen(text)) != NULL;
}

/* Until this text has come, or the peer ended. */
static inline bool wire_wait(struct wire *w, const char *text)
{
	while (!wire_has(w, text) && !w->is_over)
		wire_turn(w);
	return wire_has(w, text);
}

static inline void wire_wait_end(struct wire *w)
{
	while (!w->is_over)
		wire_turn(w);
}

static inline size_t wire_count(const struct wire *w, const char *text)
{
	size_t n = 0;
	const char *p = buf_str(&w->got).p;
	while ((p = strstr(p, text))) {
		p++;
		n++;
	}
	return n;
}
