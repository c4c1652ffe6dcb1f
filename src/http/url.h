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

/* origin-form and absolute-form (its host is dropped); "*" stays "*". -1 for
 * bad percent escapes, NUL, control characters, or no leading slash. */
must_use int url_parse_target(struct str target, struct arena *a,
			      struct url_target *out, struct err *e);

/* A decoded query parameter ('+' is a space); false if it is absent. A bare
 * name has the value "". */
bool url_query_get(struct str query, const char *name, struct arena *a,
		   struct str *out);
/* The same as a bool: bare, 1, t, true are true (Go's ParseBool words); -1 names
 * the parameter if it is none of them. Absent gives `absent`. */
must_use int url_query_bool(struct str query, const char *name, bool absent,
			    struct arena *a, bool *out, struct err *e);

/* "http://host:port/prefix" or "unix:/path[:/prefix]", as base URLs in the
 * configuration and in MODEL_RUNNER_HOST are written. */
struct url_base {
	char address[512]; /* for stream_connect() */
	char host[300];	   /* for the Host field */
	char prefix[256];  /* path before every request's path, no final '/' */
	bool is_tls;
};
must_use int url_parse_base(const char *text, struct url_base *out,
			    struct err *e);
