/* client.h - HTTP/1.1 requests over kept-alive connections to one address.
 *
 * A pool belongs to one upstream. An idle connection that the upstream closed
 * just as a request went out on it is replaced by a fresh one once, unseen,
 * when nothing of the answer has come (RFC 9112, section 9.3.1; the request is
 * complete in memory, so it can be sent again only if it is safe to: the retry
 * is done only when the connection was closed without a byte). */
#pragma once
#include "base/err.h"
#include "http/head.h"
#include "io/stream.h"

struct http_pool;
struct http_call;
struct tls;

/* `address` as for stream_connect(). */
struct http_pool *http_pool_new(struct uv_loop_s *loop, const char *address);
/* Before the first call: every connection speaks TLS, with the host of the
 * address. `tls` (a client's) becomes the pool's. */
void http_pool_use_tls(struct http_pool *p, struct tls *tls);
/* Calls under way are cancelled without a callback. */
void http_pool_free(struct http_pool *p);
BASE_AUTO(http_pool);

struct http_request {
	const char *method;
	struct str path;  /* with query; starts with '/' */
	const char *host; /* the Host field */
	/* Further fields, each line ended by CRLF; Host, Content-Length and
	 * Connection are the client's. */
	struct str fields;
	/* Borrowed until on_end or cancel. Content-Length is sent for it, when
	 * it is not empty or the method is POST or PUT. */
	struct str body;
	/* For a body that is not in memory: on_want_body asks for pieces. */
	bool body_is_streamed;
	int64_t body_length;	      /* -1: chunked */
	unsigned first_byte_limit_ms; /* 0: wait for ever */
};

struct http_call_fns {
	/* The final head (1xx are skipped); borrowed for the call. */
	void (*on_head)(void *ctx, const struct http_head *h);
	/* A piece of the body, chunked coding removed. */
	void (*on_body)(void *ctx, struct str piece);
	/* The end, exactly once: 0 whole, -1 with *e (ERR_REFUSED: nobody
	 * listens there; ERR_TLS: no trust in who does; ERR_ENGINE: cut, not
	 * HTTP; ERR_ENGINE_SLOW: no first byte in time). */
	void (*on_end)(void *ctx, int outcome, const struct err *e);
	/* Only with body_is_streamed: send the next piece with
	 * http_call_write() and, at last, http_call_finish(). */
	void (*on_want_body)(void *ctx);
};

/* Starts the call; on_end never comes before this returns. The call is the
 * caller's until on_end. */
struct http_call *http_call_start(struct http_pool *p,
				  const struct http_request *r,
				  const struct http_call_fns *fns, void *ctx);
/* Stops reading from the upstream / goes on. */
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);
/* STREAM_FULL: taken, but wait for the next on_want_body. */
int http_call_write(struct http_call *c, struct str piece);
void http_call_finish(struct http_call *c);
/* Closes its connection at once, which is how the upstream learns of it. No
 * callback comes after. */
void http_call_cancel(struct http_call *c);
