/* weburl.h - an http or https URL taken apart, strictly, and put together again
 * in one form: whoever checks it and whoever connects read the same. No user
 * info, no fragment, no characters that a URL cannot have. Pure. */
#pragma once
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#define WEBURL_HOST_BYTES 256
#define WEBURL_TEXT_BYTES (LIMIT_TARGET_BYTES + WEBURL_HOST_BYTES + 16)

struct weburl {
	bool is_https;
	char host[WEBURL_HOST_BYTES]; /* lower case; IPv6 in brackets */
	unsigned port;
	char target[LIMIT_TARGET_BYTES]; /* path and query, begins with '/' */
};

must_use int weburl_parse(struct str text, struct weburl *out, struct err *e);
/* A Location or realm as seen from `base`: absolute, "//host/path", "/path",
 * "?query" or a path relative to the base's last segment. */
must_use int weburl_resolve(const struct weburl *base, struct str text,
			    struct weburl *out, struct err *e);
/* "https://host:port/target"; gives `out` back. */
const char *weburl_text(const struct weburl *u, char out[WEBURL_TEXT_BYTES]);
/* The same scheme, host and port. */
bool weburl_same_origin(const struct weburl *a, const struct weburl *b);
/* The host and, unless it is the scheme's own, the port, for messages. */
const char *weburl_place(const struct weburl *u,
			 char out[WEBURL_HOST_BYTES + 8]);
