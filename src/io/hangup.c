#include "io/hangup.h"
#include "io/stream_priv.h"

#include <assert.h>
#include <sys/epoll.h>
#include <unistd.h>

/* An epoll descriptor within libuv's: entries without events still report a
 * hangup, which libuv does not offer for a stream that is not read. */
struct hangup_set {
	uv_poll_t poll;
	int fd;
};

static void on_events(uv_poll_t *poll, int status, int events)
{
	struct hangup_set *set = container_of(poll, struct hangup_set, poll);
	struct epoll_event event;
	(void)status;
	(void)events;
	/* One at a time: a callback may end others that are ready too. The last
	 * one may end the set, hence no look at it after. */
	if (epoll_wait(set->fd, &event, 1, 0) != 1)
		return;
	struct hangup *h = event.data.ptr;
	hangup_stop(h);
	h->fn(h->ctx);
}

struct hangup_set *hangup_set_new(struct uv_loop_s *loop)
{
	struct hangup_set *set = xcalloc(1, sizeof *set);
	set->fd = epoll_create1(EPOLL_CLOEXEC);
	assert(set->fd >= 0);
	int r = uv_poll_init(loop, &set->poll, set->fd);
	assert(r == 0);
	uv_poll_start(&set->poll, UV_READABLE, on_events);
	return set;
}

static void on_closed(uv_handle_t *h)
{
	struct hangup_set *set =
		container_of(h, struct hangup_set, poll); /* first member */
	close(set->fd);
	free(set);
}

void hangup_set_free(struct hangup_set *set)
{
	if (set)
		uv_close((uv_handle_t *)&set->poll, on_closed);
}

void hangup_watch(struct hangup *h, struct hangup_set *set, struct stream *s,
		  void (*fn)(void *ctx), void *ctx)
{
	struct epoll_event event = { .events = 0, .data.ptr = h };
	uv_os_fd_t fd;
	if (h->set || uv_fileno(&s->uv.any, &fd) != 0)
		return;
	*h = (struct hangup){ set, fd, fn, ctx };
	if (epoll_ctl(set->fd, EPOLL_CTL_ADD, fd, &event) < 0)
		h->set = NULL; /* out of watches: FIN alone is known then */
}

void hangup_stop(struct hangup *h)
{
	struct hangup_set *set = steal(&h->set);
	if (set)
		epoll_ctl(set->fd, EPOLL_CTL_DEL, h->fd, NULL);
}

size_t hangup_rest(struct stream *s, char *out, size_t n)
{
	uv_os_fd_t fd;
	if (uv_fileno(&s->uv.any, &fd) != 0)
		return 0;
	ssize_t got = recv(fd, out, n, MSG_DONTWAIT);
	return got > 0 ? (size_t)got : 0;
}
