/* router.h - finds the row of a route table for a method and a path.
 *
 * A pattern is a path whose segments are literal or a parameter: `{name}` is
 * one segment, `{name...}` one or more (model names have slashes); what comes
 * after it is matched from the end. Rows are tried in order, the first that
 * fits wins, so the table reads from special to general. */
#pragma once
#include "base/str.h"
#include "http/head.h"

#define ROUTER_PARAMS 3

struct http_exchange;
struct route_match;

typedef void (*route_fn)(void *app, struct http_exchange *x,
			 const struct route_match *m);

struct route {
	enum http_method method; /* a GET row answers HEAD too */
	const char *pattern;
	int access; /* the table owner's class */
	route_fn handler;
};

struct route_match {
	const struct route *route;
	struct str params[ROUTER_PARAMS]; /* in order of the pattern */
	/* For ROUTER_NO_METHOD: "GET, HEAD, POST" of the rows with that path.
	 */
	char allow[64];
};

enum router_outcome { ROUTER_NO_PATH = 1, ROUTER_NO_METHOD };

must_use int router_find(const struct route *rows, size_t n,
			 enum http_method method, struct str path,
			 struct route_match *out);
