/* fdlink.c - The kernel gives descriptors with the last piece of what one
 * recvmsg() returns, and pieces that came without may stand before it. So which
 * line a descriptor belongs to shows only in the order: the first line that
 * wants one takes the first there is. */
#include "io/fdlink.h"
#include "base/buf.h"
#include "base/limits.h"
#include "io/unixpath.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

struct fdlink {
	uv_poll_t poll;
	int fd; /* owned */
	const struct fdlink_fns *fns;
	void *ctx;
	struct buf in;		   /* a line that is not whole yet */
	struct buf out;		   /* what the kernel did not take */
	int fds[LIMIT_HELPER_FDS]; /* owned; came and were not taken yet */
	size_t n_fds;
	struct {
		int fd;	   /* owned */
		size_t at; /* goes with this byte of `out` */
	} sending[LIMIT_HELPER_FDS];
	size_t n_sending;
	bool is_stuck; /* the peer does not read */
	bool is_ended; /* on_end was called */
	bool is_freed; /* the owner has let go */
};

static void drop_fds(struct fdlink *l)
{
	for (size_t i = 0; i < l->n_fds; i++)
		close(l->fds[i]);
	l->n_fds = 0;
}

static void end(struct fdlink *l, const struct err *e)
{
	if (l->is_ended || l->is_freed)
		return;
	l->is_ended = true;
	uv_poll_stop(&l->poll);
	l->fns->on_end(l->ctx, e);
}

int fdlink_take(struct fdlink *l)
{
	if (!l->n_fds)
		return -1;
	int fd = l->fds[0];
	l->n_fds--;
	memmove(l->fds, l->fds + 1, l->n_fds * sizeof *l->fds);
	return fd;
}

/* ---- reading ---- */

/* -1: more than there is room for; the kernel closed what did not fit. */
static int keep_fds(struct fdlink *l, struct msghdr *m)
{
	int outcome = m->msg_flags & MSG_CTRUNC ? -1 : 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (l->n_fds < LIMIT_HELPER_FDS) {
				l->fds[l->n_fds++] = fd;
			} else {
				close(fd);
				outcome = -1;
			}
		}
	}
	return outcome;
}

/* What recvmsg() gave; 0 at the end, -1 with *e, -2 nothing now. */
static ssize_t receive(struct fdlink *l, char *into, size_t n, struct err *e)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(LIMIT_HELPER_FDS * sizeof(int))];
	} control;
	struct iovec v = { into, n };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof control.bytes };
	ssize_t got = recvmsg(l->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return -2;
	if (got < 0)
		return err_sys(e, "read");
	if (keep_fds(l, &m))
		return err_set(e, ERR_INVALID,
			       "more than %d descriptors at once",
			       LIMIT_HELPER_FDS);
	return got;
}

/* Hands over the whole lines, first the one that was begun before. */
static void take(struct fdlink *l, struct str bytes)
{
	struct err e;
	ptrdiff_t at;
	while ((at = str_find(bytes, '\n')) >= 0) {
		struct str line = str_head(bytes, (size_t)at);
		bytes = str_tail(bytes, (size_t)at + 1);
		if (l->in.n && buf_put(&l->in, line.p, line.n)) {
			end(l, (err_set(&e, ERR_INVALID, "a line is too long"),
				&e));
			return;
		}
		if (l->in.n)
			line = buf_str(&l->in);
		l->fns->on_line(l->ctx, line);
		if (l->is_freed || l->is_ended)
			return;
		buf_clear(&l->in);
	}
	if (buf_put(&l->in, bytes.p, bytes.n))
		end(l, (err_set(&e, ERR_INVALID, "a line is too long"), &e));
	else if (!l->in.n)
		drop_fds(l);
}

static void read_some(struct fdlink *l)
{
	char piece[LIMIT_HELPER_LINE_BYTES];
	struct err e;
	ssize_t n = receive(l, piece, sizeof piece, &e);
	if (n == 0)
		err_set(&e, ERR_GONE, "the other end closed it");
	if (n == 0 || n == -1)
		end(l, &e);
	else if (n > 0)
		take(l, (struct str){ piece, (size_t)n });
}

/* ---- writing ---- */

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct fdlink *l)
{
	int events = UV_READABLE | (l->out.n ? UV_WRITABLE : 0);
	if (!l->is_ended)
		uv_poll_start(&l->poll, events, on_event);
}

/* Up to the byte that the next descriptor goes with, so that it goes with no
 * other; or from that byte on, with it. */
static ssize_t send_piece(struct fdlink *l, bool *has_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec v = { l->out.p, l->out.n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	*has_fd = l->n_sending && l->sending[0].at == 0;
	size_t next = *has_fd ? 1 : 0;
	if (next < l->n_sending)
		v.iov_len = l->sending[next].at;
	if (*has_fd) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof control.bytes;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &l->sending[0].fd, sizeof(int));
	}
	return sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void drop_sent(struct fdlink *l, size_t n, bool has_fd)
{
	buf_drop(&l->out, n);
	if (has_fd) {
		close(l->sending[0].fd);
		l->n_sending--;
		memmove(l->sending, l->sending + 1,
			l->n_sending * sizeof *l->sending);
	}
	for (size_t i = 0; i < l->n_sending; i++)
		l->sending[i].at -= n;
}

static void drop_unsent(struct fdlink *l)
{
	while (l->n_sending)
		close(l->sending[--l->n_sending].fd);
	buf_clear(&l->out);
}

/* Errors are met by the read that follows. */
static void write_some(struct fdlink *l)
{
	while (l->out.n) {
		bool has_fd;
		ssize_t n = send_piece(l, &has_fd);
		if (n > 0)
			drop_sent(l, (size_t)n, has_fd);
		else if (errno != EAGAIN && errno != EINTR)
			drop_unsent(l);
		else
			break;
	}
	watch(l);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct fdlink *l = container_of(poll, struct fdlink, poll);
	struct err e;
	if (l->is_stuck) {
		end(l, (err_set(&e, ERR_INVALID, "it does not read"), &e));
		return;
	}
	if (events & UV_WRITABLE && l->out.n)
		write_some(l);
	if (status < 0 || events & UV_READABLE)
		read_some(l);
}

void fdlink_send_fd(struct fdlink *l, struct str line, int fd)
{
	auto_close int owned = fd;
	bool was_empty = !l->out.n;
	if (l->is_ended || l->is_stuck)
		return;
	if (l->out.n + line.n + 1 > l->out.max ||
	    (fd >= 0 && l->n_sending == ARRAY_LEN(l->sending))) {
		/* Half a line would be nonsense: the link ends in the loop, not
		 * inside its owner's call. */
		l->is_stuck = true;
		shutdown(l->fd, SHUT_RDWR);
		return;
	}
	if (fd >= 0) {
		l->sending[l->n_sending].at = l->out.n;
		l->sending[l->n_sending++].fd = steal_fd(&owned);
	}
	int full =
		buf_put(&l->out, line.p, line.n) || buf_put(&l->out, "\n", 1);
	assert(!full);
	if (was_empty)
		write_some(l);
}

void fdlink_send(struct fdlink *l, struct str line)
{
	fdlink_send_fd(l, line, -1);
}

/* ---- beginning and end ---- */

int fdlink_open(struct uv_loop_s *loop, int fd, const struct fdlink_fns *fns,
		void *ctx, struct fdlink **out, struct err *e)
{
	struct fdlink *l = xcalloc(1, sizeof *l);
	l->fd = fd;
	l->fns = fns;
	l->ctx = ctx;
	buf_init(&l->in, LIMIT_HELPER_LINE_BYTES);
	buf_init(&l->out, LIMIT_HELPER_QUEUE_BYTES);
	int r = uv_poll_init(loop, &l->poll, fd);
	if (r < 0) {
		close(fd);
		free(l);
		return err_set(e, ERR_SYSTEM, "watch a socket: %s",
			       uv_strerror(r));
	}
	watch(l);
	*out = l;
	return 0;
}

static int check_peer(int fd, unsigned uid, const char *path, struct err *e)
{
	struct ucred who;
	socklen_t n = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return err_sys(e, "%s", path);
	if (who.uid != uid)
		return err_set(e, ERR_FORBIDDEN,
			       "%s is served by user %u, and only user %u is "
			       "believed there",
			       path, who.uid, uid);
	return 0;
}

int fdlink_connect(struct uv_loop_s *loop, const char *path, unsigned uid,
		   const struct fdlink_fns *fns, void *ctx, struct fdlink **out,
		   struct err *e)
{
	auto_close int fd = -1;
	if (unixpath_connect(path, &fd, e))
		return -1;
	if (check_peer(fd, uid, path, e))
		return -1;
	return fdlink_open(loop, steal_fd(&fd), fns, ctx, out, e);
}

static void on_closed(uv_handle_t *h)
{
	struct fdlink *l = container_of((uv_poll_t *)h, struct fdlink, poll);
	close(l->fd);
	buf_fini(&l->in);
	buf_fini(&l->out);
	free(l);
}

void fdlink_free(struct fdlink *l)
{
	if (!l)
		return;
	drop_fds(l);
	drop_unsent(l);
	l->is_freed = true;
	uv_close((uv_handle_t *)&l->poll, on_closed);
}
