/* transfer.h - HTTP and HTTPS requests to the world outside, by libcurl's multi
 * interface on the loop: proxies, certificates and kept connections are its
 * business; redirects and authentication are the caller's, who must look at
 * each of them.
 *
 * HTTP/1.1, so that parallel ranges have connections of their own. Bodies press
 * back; heads, silence, slowness and (if wanted) the whole are bounded. libcurl
 * is loaded with the first transfer, and its memory given back when none has
 * run for a while. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "io/netaddr.h"
#include "io/weburl.h"

struct uv_loop_s;
struct transfer_pool;
struct transfer;

struct transfer_pool *transfer_pool_new(struct uv_loop_s *loop) must_use;
/* Those under way are cancelled, without a callback. */
void transfer_pool_free(struct transfer_pool *m);
BASE_AUTO(transfer_pool);

enum transfer_outcome { TRANSFER_FULL = 1 };

struct transfer_fns {
	/* May we talk to this address? Asked before a connection is opened, and
	 * again before the request goes out on a kept one. Not asked where a
	 * proxy stands between: then only the proxy knows the address, and an
	 * address written in the URL is asked before. NULL: to all. */
	bool (*allows)(void *ctx, const struct netaddr *a);
	/* The final head (not 1xx). */
	void (*on_head)(void *ctx, int status);
	/* A piece of the body, borrowed for the call; all of it is taken.
	 * TRANSFER_FULL: no more until transfer_resume(). */
	int (*on_body)(void *ctx, struct str piece);
	/* Of a request with `stream_bytes`: puts the next bytes of its body to
	 * `to`, at most `room`, and gives how many; 0: there are none yet,
	 * transfer_send() says when. They are never wanted again. */
	size_t (*on_send)(void *ctx, char *to, size_t room);
	/* Exactly once: 0 whole, -1 with *e: ERR_REFUSED (no connection),
	 * ERR_FORBIDDEN (`allows` said no), ERR_ENGINE (cut, or no HTTP),
	 * ERR_ENGINE_SLOW, ERR_SYSTEM (TLS, and what else is not the peer's
	 * passing trouble). The transfer is gone when it returns. */
	void (*on_end)(void *ctx, int outcome, const struct err *e);
};

struct transfer_request {
	const char *method; /* GET, HEAD, POST, PUT or PATCH */
	const struct weburl *url;
	/* Further fields, "Name: value"; no line breaks in them. */
	const char *const *fields;
	size_t n_fields;
	struct str body; /* for POST, PUT and PATCH; copied */
	/* Or a body of this length, from on_send. */
	uint64_t stream_bytes;
	/* Until all has come; 0: as long as it flows. */
	unsigned limit_ms;
	/* How long it may stand still; 0: LIMIT_TRANSFER_SLOW_MS. */
	unsigned silence_ms;
};

/* on_end never comes before this returns. The transfer is the caller's until
 * then. NULL with *e: libcurl is not there. */
struct transfer *transfer_start(struct transfer_pool *m,
				const struct transfer_request *r,
				const struct transfer_fns *fns, void *ctx,
				struct err *e) must_use;
/* No callback comes after. Allowed in callbacks. */
void transfer_cancel(struct transfer *t);
void transfer_resume(struct transfer *t);
/* After on_send gave 0: now there is more. */
void transfer_send(struct transfer *t);

/* From on_head until on_end returned: the i-th field of that name (from 0), or
 * an empty string whose p is NULL. */
struct str transfer_field(const struct transfer *t, const char *name, size_t i);
/* The address at the other end; false: not connected, or through a proxy. */
bool transfer_address(const struct transfer *t, struct netaddr *out);
