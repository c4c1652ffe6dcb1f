/* server.h - HTTP/1.1 for hostile peers: connections and exchanges.
 *
 * One exchange is one request and its answer. Connections are kept alive, and
 * pipelined requests are answered one after the other. Heads, bodies, idle
 * times and unread answers are bounded (limits.h); each breach has its own
 * status. The handler decides from the head alone whether it wants the body,
 * so a refusal costs the peer's bytes, not our memory. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "http/head.h"
#include "http/url.h"
#include "io/listener.h"

struct http_server;
struct http_exchange;

struct http_server_fns {
	/* A head is in. Called once per exchange; must lead to exactly one
	 * answer (now or later) or to exchange_abort(). */
	void (*on_request)(void *ctx, struct http_exchange *x);
	/* The text of an error that the server itself answers (bad head, 408,
	 * 413, 431), as a JSON body; `a` is the exchange's. */
	struct str (*error_body)(void *ctx, const struct err *e,
				 struct arena *a);
	/* The exchange is over, also when the client left: for the log and the
	 * metrics. status 0: no answer was begun. Comes for a bad head too,
	 * which on_request never saw; then the head is empty. May be NULL. */
	void (*on_over)(void *ctx, struct http_exchange *x, int status,
			uint64_t sent_body_bytes);
	/* A connection is gone, after the on_over of its last exchange: exactly
	 * once for each http_server_take(). May be NULL. */
	void (*on_close)(void *ctx, void *visitor);
};

struct http_server *http_server_new(struct uv_loop_s *loop,
				    const struct http_server_fns *fns,
				    void *ctx);
/* Limits other than those of limits.h, which a new server has. */
struct http_limits {
	size_t bodies_bytes; /* of all collected bodies together */
	unsigned head_ms;
	unsigned body_idle_ms;
	unsigned keepalive_ms;
	unsigned write_idle_ms;
	unsigned half_closed_ms;
	unsigned linger_ms;
};
void http_server_set_limits(struct http_server *s, const struct http_limits *l);
/* Serves an accepted stream; `visitor` is the caller's word for who is at the
 * other end (may be NULL) and comes back in on_close, `from` is told when the
 * stream is gone (may be NULL). A draining server closes it at once. */
void http_server_take(struct http_server *s, struct stream *stream,
		      void *visitor, struct listener *from);
/* No new exchanges: idle connections close, busy ones after their answer. */
void http_server_drain(struct http_server *s);
size_t http_server_count(const struct http_server *s); /* open exchanges */
/* Cuts everything that is still open; on_gone and on_over come for it. Not to
 * be called inside a callback of the server. */
void http_server_free(struct http_server *s);

/* ---- the request ---- */

const struct http_head *exchange_head(const struct http_exchange *x);
/* The target taken apart; a bad one never reaches the handler. */
const struct url_target *exchange_target(const struct http_exchange *x);
struct arena *exchange_arena(struct http_exchange *x);
/* As given to http_server_take(). */
void *exchange_visitor(const struct http_exchange *x);
const struct stream_peer *exchange_peer(struct http_exchange *x);
uint64_t exchange_started_ns(const struct http_exchange *x);
/* A pointer of the handler's, for on_over and for its own callbacks. */
void exchange_set_user(struct http_exchange *x, void *user);
void *exchange_user(const struct http_exchange *x);

struct exchange_fns {
	/* The client is gone, or the server refused its body; the exchange is
	 * dead when this returns. Not called once the answer was ended, nor by
	 * exchange_abort(). */
	void (*on_gone)(void *ctx);
	/* After STREAM_FULL from exchange_write(). May be NULL. */
	void (*on_drain)(void *ctx);
};
void exchange_set_fns(struct http_exchange *x, const struct exchange_fns *fns,
		      void *ctx);

/* Reads the whole body, at most max bytes, then calls fn with it; the bytes
 * live as long as the exchange. Too large or broken: the server answers itself
 * and fn is never called (on_gone is, if set). Sends 100 Continue if asked. */
typedef void (*exchange_body_fn)(void *ctx, struct str body);
void exchange_collect(struct http_exchange *x, size_t max_bytes,
		      exchange_body_fn fn, void *ctx);
/* For fn: the body becomes the caller's, to outlive the exchange. It counts
 * among all bodies until the exchange is over. */
void exchange_take_body(struct http_exchange *x, struct buf *out);
/* Streams the body piece by piece; fn with n == 0 is the end. `max_bytes` 0 is
 * no limit. exchange_body_pause/resume press back. */
void exchange_stream(struct http_exchange *x, uint64_t max_bytes,
		     exchange_body_fn fn, void *ctx);
void exchange_body_pause(struct http_exchange *x);
void exchange_body_resume(struct http_exchange *x);

/* ---- the answer ---- */

/* A field for the answer; before exchange_start() or exchange_reply(). Name and
 * value are copied; line breaks in a value are a bug. */
void exchange_add(struct http_exchange *x, const char *name, struct str value);
/* A whole answer. `type` NULL: no Content-Type. A HEAD request gets the same
 * head and no body. */
void exchange_reply(struct http_exchange *x, int status, const char *type,
		    struct str body);
/* An answer in pieces: length -1 sends it chunked (to HTTP/1.0 until close). */
#define EXCHANGE_CHUNKED (-1)
void exchange_start(struct http_exchange *x, int status, int64_t length);
bool exchange_is_started(const struct http_exchange *x);
/* STREAM_FULL: taken, but wait for on_drain. */
int exchange_write(struct http_exchange *x, struct str piece);
void exchange_end(struct http_exchange *x);
/* Cuts the connection so that the client sees an incomplete answer. */
void exchange_abort(struct http_exchange *x);
