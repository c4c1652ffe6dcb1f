/* proxy.h - joins an exchange to a call on an upstream, with back-pressure.
 *
 * The answer's head and body pass through as they come; hop-by-hop fields do
 * not. A client that reads slowly stops the upstream after a bounded number of
 * bytes; a client that leaves closes the upstream's connection at once. If the
 * upstream fails before its head, `on_fail` answers instead; if it fails in the
 * middle, an event stream gets an error event and is ended, anything else is
 * cut so that the client can tell.
 *
 * The exchange may already have been started as an event stream (a client that
 * waits for a model to load gets its head and comments early). Then an upstream
 * answer other than 200 becomes one error event with the upstream's error
 * object (bounded by LIMIT_SMALL_BODY_BYTES), followed by `data: [DONE]`. */
#pragma once
#include "http/client.h"
#include "http/server.h"

/* Fields that begin so are spoken between our own programs only. */
#define PROXY_OWN_FIELDS "Modeld-"

struct proxy_fns {
	/* No head came: the callee answers the exchange (502, 504 ...), or,
	 * when that was started already, ends its event stream. */
	void (*on_fail)(void *ctx, struct http_exchange *x,
			const struct err *e);
	/* The text for an error event in the middle of a stream. */
	struct str (*error_body)(void *ctx, const struct err *e,
				 struct arena *a);
	/* Sees what passes: status, then pieces of the body. May be NULL. */
	void (*on_head)(void *ctx, const struct http_head *h);
	void (*on_piece)(void *ctx, struct str piece);
	/* The end of it, exactly once, after the answer was ended or the client
	 * had gone (then `e` has ERR_GONE). `x` may be dead: do not touch it.
	 * After this the proxy is gone. */
	void (*on_over)(void *ctx, int outcome, const struct err *e);
};

/* Forwards the exchange's own method and end-to-end fields, less Host,
 * Authorization, X-Api-Key, Api-Key, Cookie, Origin, Accept-Encoding and
 * Modeld-*. Of `ask`: `path` (with its query) replaces the target, `fields` are
 * added, `body` is sent (borrowed; the exchange's arena is a good place),
 * `host` and `first_byte_limit_ms` hold. Of the answer, Date, Server and
 * Access-Control-* stay behind: those are for us to say. Fields that the
 * handler added to the exchange before are sent too. */
void proxy_start(struct http_exchange *x, struct http_pool *to,
		 const struct http_request *ask, const struct proxy_fns *fns,
		 void *ctx);
