/* url.h - request targets, queries and base URLs.
 *
 * A target is taken apart once: path percent-decoded, empty segments ("//")
 * dropped, "." and ".." resolved and never above the root, query kept raw. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

struct url_target {
	struct str path;  /* decoded, starts with '/'; in the arena */
	struct str query; /* raw, without '?' */
};

/* origin-form and absolute-form (its host is dropped); "*" stays "*". %2F is a
 * slash like any other, since model names have slashes. -1 for bad percent
 * escapes, NUL, control characters, what is not UTF-8, or no leading slash. */
must_use int url_parse_target(struct str target, struct arena *a,
			      struct url_target *out, struct err *e);

/* A decoded query parameter ('+' is a space), the first of that name; false if
 * it is absent. A bare name has the value ""; what cannot be decoded to text
 * counts as absent. */
bool url_query_get(struct str query, const char *name, struct arena *a,
		   struct str *out);
/* The same as a bool: bare, 1, t, true are true (Go's ParseBool words); -1
 * names the parameter if it is none of them. Absent gives `absent`. */
must_use int url_query_bool(struct str query, const char *name, bool absent,
			    struct arena *a, bool *out, struct err *e);

/* Is this "host", "host:port", "1.2.3.4:port" or "[::1]:port"? No user info, no
 * percent signs, no zone. */
bool url_is_authority(struct str s);

/* "http://host:port/prefix" ("http://" may be left out), "https://..." or
 * "unix:/path[:/prefix]", as base URLs in the configuration and in
 * MODEL_RUNNER_HOST are written. */
struct url_base {
	char address[512]; /* for stream_connect() */
	char host[300];	   /* for the Host field */
	char prefix[256];  /* path before every request's path, no final '/' */
	bool is_tls;
};
must_use int url_parse_base(const char *text, struct url_base *out,
			    struct err *e);
