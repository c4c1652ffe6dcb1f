#include "io/listener.h"
#include "base/limits.h"
#include "io/holder.h"
#include "io/stream_priv.h"
#include "io/unixpath.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 1024

struct listener {
	union {
		uv_handle_t any;
		uv_stream_t io;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	listener_fn fn;
	void *ctx;
	size_t open; /* streams that were handed out and not released */
	size_t max;
	bool is_held; /* a connection waits for `open` to go down */
	bool is_stopped;
	bool is_closed; /* libuv is done with it */
	bool is_freed;
	bool is_unix;
	char *path; /* of the socket file that is ours, or NULL */
	dev_t dev;  /* its identity: another daemon's file stays */
	ino_t ino;
};

static void accept_one(struct listener *l)
{
	struct stream *s = stream_accept(&l->uv.io, l->is_unix);
	if (!s)
		return; /* it left while it waited */
	l->open++;
	l->fn(l->ctx, s);
}

static void on_connection(uv_stream_t *io, int status)
{
	struct listener *l = container_of(io, struct listener, uv.io);
	/* Errors are of one connection (it left) or of the machine (out of
	 * descriptors): the next one may do better. */
	if (status < 0)
		return;
	/* Until it is accepted, libuv stops to look for more. */
	l->is_held = l->open >= l->max;
	if (!l->is_held)
		accept_one(l);
}

void listener_release(struct listener *l)
{
	assert(l->open > 0);
	l->open--;
	if (!l->is_held)
		return;
	l->is_held = false;
	accept_one(l);
}

size_t listener_open(const struct listener *l)
{
	return l->open;
}

int listener_fd(struct uv_loop_s *loop, int fd, listener_fn fn, void *ctx,
		struct listener **out, struct err *e)
{
	auto_close int owned = fd;
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof a;
	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return err_sys(e, "descriptor %d is no socket", fd);
	auto_(listener) l = xcalloc(1, sizeof *l);
	l->fn = fn;
	l->ctx = ctx;
	l->max = LIMIT_CONNECTIONS;
	l->is_unix = a.ss_family == AF_UNIX;
	int r = l->is_unix ? uv_pipe_init(loop, &l->uv.pipe, 0)
			   : uv_tcp_init(loop, &l->uv.tcp);
	assert(r == 0);
	r = l->is_unix ? uv_pipe_open(&l->uv.pipe, fd)
		       : uv_tcp_open(&l->uv.tcp, fd);
	if (r == 0) {
		steal_fd(&owned);
		/* Accepted sockets inherit it: no system call for each. */
		if (!l->is_unix)
			uv_tcp_nodelay(&l->uv.tcp, 1);
		r = uv_listen(&l->uv.io, BACKLOG, on_connection);
	}
	if (r < 0)
		return err_set(e, ERR_SYSTEM, "listen: %s", uv_strerror(r));
	*out = steal(&l);
	return 0;
}

static int err_busy(int port, struct err *e)
{
	struct holder h;
	if (holder_find(port, &h) == 0)
		return err_set(e, ERR_CONFLICT,
			       "port %d is taken by %s (process %d); stop it "
			       "or choose another port",
			       port, h.command, h.pid);
	return err_set(e, ERR_CONFLICT,
		       "port %d is taken by another program; stop it or "
		       "choose another port",
		       port);
}

static int bind_tcp(const char *ip, int port, int *out, struct err *e)
{
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof(struct sockaddr_in);
	if (uv_ip4_addr(ip, port, (struct sockaddr_in *)&a) != 0) {
		n = sizeof(struct sockaddr_in6);
		if (uv_ip6_addr(ip, port, (struct sockaddr_in6 *)&a) != 0)
			return err_set(e, ERR_INVALID,
				       "%s is no IP address; write 127.0.0.1, "
				       "::1 or another address of this machine",
				       ip);
	}
	auto_close int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "listen on %s", ip);
	int on = 1;
	/* A restart must not wait for old connections in TIME_WAIT. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (a.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&a, n) < 0)
		return errno == EADDRINUSE
			       ? err_busy(port, e)
			       : err_sys(e, "listen on %s, port %d", ip, port);
	*out = steal_fd(&fd);
	return 0;
}

int listener_tcp(struct uv_loop_s *loop, const char *ip, int port,
		 listener_fn fn, void *ctx, struct listener **out,
		 struct err *e)
{
	int fd = -1;
	if (bind_tcp(ip, port, &fd, e) < 0)
		return -1;
	/* SO_REUSEADDR lets two sockets bind; the second listen() fails. */
	if (listen(fd, BACKLOG) < 0) {
		int r = errno == EADDRINUSE ? err_busy(port, e)
					    : err_sys(e, "listen on %s", ip);
		close(fd);
		return r;
	}
	return listener_fd(loop, fd, fn, ctx, out, e);
}

int listener_unix(struct uv_loop_s *loop, const char *path, int mode,
		  listener_fn fn, void *ctx, struct listener **out,
		  struct err *e)
{
	int fd = -1;
	struct stat st;
	if (unixpath_bind(path, mode, &fd, e) < 0)
		return -1;
	if (listener_fd(loop, fd, fn, ctx, out, e) < 0)
		return err_wrap(e, "%s", path);
	if (stat(path, &st) == 0) {
		(*out)->path = xstrdup(path);
		(*out)->dev = st.st_dev;
		(*out)->ino = st.st_ino;
	}
	return 0;
}

void listener_set_max(struct listener *l, size_t max)
{
	l->max = max;
}

int listener_port(const struct listener *l)
{
	struct sockaddr_storage a = { 0 };
	int n = sizeof a;
	if (l->is_unix ||
	    uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&a, &n) != 0)
		return 0;
	return ntohs(a.ss_family == AF_INET6
			     ? ((const struct sockaddr_in6 *)&a)->sin6_port
			     : ((const struct sockaddr_in *)&a)->sin_port);
}

static void on_closed(uv_handle_t *h)
{
	struct listener *l = container_of(h, struct listener, uv.any);
	l->is_closed = true;
	if (l->is_freed)
		free(l);
}

void listener_stop(struct listener *l)
{
	struct stat st;
	if (l->is_stopped)
		return;
	l->is_stopped = true;
	l->is_held = false;
	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	uv_close(&l->uv.any, on_closed);
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	listener_stop(l);
	free(steal(&l->path));
	l->is_freed = true;
	if (l->is_closed)
		free(l);
}
