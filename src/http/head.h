/* head.h - HTTP/1.1 message heads: bytes in, meaning and framing out.
 *
 * Strict on purpose, since leniency between two parsers is request smuggling
 * (RFC 9112, section 11.2): CRLF only, no obs-fold, no space before a colon, no
 * control characters, one way to say how long the body is. Pure functions: no
 * I/O, no allocation; all strings point into the caller's bytes. */
#pragma once
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

enum http_method {
	HTTP_OTHER, /* a valid token that we have no name for */
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
};

/* How the body ends (RFC 9112, section 6.3). */
enum http_framing {
	HTTP_NO_BODY,
	HTTP_LENGTH, /* head.length bytes; may be 0 */
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE, /* responses only */
};

struct http_field {
	struct str name;
	struct str value; /* without the spaces around it */
};

struct http_head {
	/* Requests. `target` is as sent; url.h takes it apart. */
	enum http_method method;
	struct str method_text;
	struct str target;
	struct str host; /* the one Host field; may be empty, see has_host */
	bool has_host;
	bool expect_continue;
	/* Responses. */
	int status;
	/* Both. */
	int minor; /* HTTP/1.minor: 0 or 1 */
	enum http_framing framing;
	uint64_t length;
	bool keep_alive;
	bool upgrade; /* an Upgrade field together with Connection: upgrade */
	size_t n_fields;
	struct http_field fields[LIMIT_HEAD_FIELDS];
};

enum head_outcome { HEAD_MORE = 1 };

/* Parses the head at the start of `bytes`; *used gets its length with the
 * empty line. One empty line before it is skipped (RFC 9112, section 2.2).
 * HEAD_MORE: not all there yet. -1: the code tells the status to answer (400,
 * 414, 417, 431, 501 for CONNECT or an unknown transfer coding, 505); nothing
 * after such a head can be trusted. */
must_use int head_parse_request(struct str bytes, struct http_head *out,
				size_t *used, struct err *e);
/* `to` is the method that this answers: HEAD has no body. 1xx are reported
 * like any other; the caller skips them. A body where none can be (204) is not
 * read, and ends the connection. */
must_use int head_parse_response(struct str bytes, enum http_method to,
				 struct http_head *out, size_t *used,
				 struct err *e);

/* The first field of this name, or NULL. Names are compared without case. */
const struct http_field *head_find(const struct http_head *h, const char *name);
/* Does the comma list in the fields of this name hold this token? */
bool head_has_token(const struct http_head *h, const char *name,
		    const char *token);
/* Fields that end at this hop (RFC 9110, section 7.6.1): Connection and what it
 * lists, Keep-Alive, TE, Trailer, Transfer-Encoding, Upgrade, Proxy-*. */
bool head_is_hop_by_hop(const struct http_head *h, struct str name);
/* "GET"; "" for HTTP_OTHER. */
const char *head_method_name(enum http_method method);
/* "Not Found" for 404; "" if the number has no name here. */
const char *head_reason(int status);
