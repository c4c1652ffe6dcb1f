/* call.h - asks the server something and waits for the answer.
 *
 * Each call runs the loop until it is over, so that a command reads from top
 * to bottom. An answer that is not 2xx is an error that carries the server's
 * own words and a code (ERR_NOT_FOUND, ERR_CONFLICT, ...); nobody there is
 * ERR_UNAVAILABLE and says how to start the server. */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include "cli/where.h"

struct call;

/* The server that where_find() names, or some other OpenAI API. */
must_use int call_open(struct call **out, struct err *e);
must_use int call_open_url(const char *url, struct call **out, struct err *e);
void call_free(struct call *c);
BASE_AUTO(call);
const struct where *call_where(const struct call *c);

#define CALL_UNKNOWN_BYTES UINT64_MAX

struct call_request {
	const char *method;
	const char *path;    /* after the base URL; call_escape() names in it */
	const char *fields;  /* more header lines, each with CRLF; or NULL */
	const char *accepts; /* a media type; NULL: JSON */
	struct str body;     /* JSON */
	/* Or a body read piece by piece (*n == 0 is the end) of `source_bytes`
	 * bytes and of this media type. */
	int (*source)(void *ctx, void *buf, size_t cap, size_t *n,
		      struct err *e);
	void *source_ctx;
	uint64_t source_bytes; /* or CALL_UNKNOWN_BYTES: sent chunked */
	const char *source_type;
	unsigned limit_ms;     /* until the answer begins; 0: for ever */
	bool is_interruptible; /* Ctrl-C ends the call, not the program */
};

enum call_outcome { CALL_INTERRUPTED = 1 };

/* Gets each piece of a 2xx answer; -1 with *e set ends the call. */
typedef int (*call_piece_fn)(void *ctx, struct str piece, struct err *e);
/* `fn` NULL: nobody reads the answer. May give CALL_INTERRUPTED, if the request
 * says so. */
must_use int call_stream(struct call *c, const struct call_request *r,
			 call_piece_fn fn, void *ctx, struct err *e);
/* The whole answer as text. */
must_use int call_text(struct call *c, const struct call_request *r,
		       struct buf *out, struct err *e);
/* The whole answer as JSON, which the caller owns. */
must_use int call_json(struct call *c, const char *method, const char *path,
		       struct str body, json_t **out, struct err *e);
/* Sends the request and leaves it under way, its answer unread, until the call
 * is freed. `r` and what it points to must live as long. */
void call_post(struct call *c, const struct call_request *r);

/* For a path or a query; '/' and ':' stay. The caller frees it. */
char *call_escape(const char *text) must_use;
