/* listener.h - a listening socket that hands out accepted streams.
 *
 * A busy address is an error that names who holds it, when the kernel lets us
 * see. A stale Unix socket file (nobody accepts behind it) is replaced, a live
 * one is not. At LIMIT_CONNECTIONS open streams it stops accepting until the
 * owner reports one closed, so that waiting clients queue in the kernel. */
#pragma once
#include "base/err.h"
#include "io/stream.h"

struct listener;

/* `s` becomes the callee's. */
typedef void (*listener_fn)(void *ctx, struct stream *s);

/* `ip` is a numeric address ("127.0.0.1", "::1"); port 0 picks a free one. */
must_use int listener_tcp(struct uv_loop_s *loop, const char *ip, int port,
			  listener_fn fn, void *ctx, struct listener **out,
			  struct err *e);
/* `mode` is the socket file's, set before anybody can connect. The file goes
 * when the listener goes. */
must_use int listener_unix(struct uv_loop_s *loop, const char *path, int mode,
			   listener_fn fn, void *ctx, struct listener **out,
			   struct err *e);
/* A socket that already listens (systemd, a helper); takes the descriptor. */
must_use int listener_fd(struct uv_loop_s *loop, int fd, listener_fn fn,
			 void *ctx, struct listener **out, struct err *e);
/* How many streams may be open, instead of LIMIT_CONNECTIONS; at least 1. */
void listener_set_max(struct listener *l, size_t max);
/* One of the accepted streams was freed. */
void listener_release(struct listener *l);
/* Accepted streams that were not released yet. */
size_t listener_open(const struct listener *l);
/* The port listened on, or 0 for a Unix socket. */
int listener_port(const struct listener *l);
/* Nobody can connect any more; streams that are open may go on, and be released
 * until the listener is freed. */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);
BASE_AUTO(listener);
