#include "http/router.h"

#include <assert.h>
#include <stdio.h>

/* Takes "/segment" off the front of *rest. */
static bool next(struct str *rest, struct str *segment)
{
	if (!rest->n)
		return false;
	struct str s = str_tail(*rest, 1);
	ptrdiff_t slash = str_find(s, '/');
	*segment = slash < 0 ? s : str_head(s, (size_t)slash);
	*rest = str_tail(s, segment->n);
	return true;
}

static size_t segments(struct str s)
{
	size_t n = 0;
	struct str segment;
	while (next(&s, &segment))
		n++;
	return n;
}

/* Takes segments off *path until only `leave` of them are left. */
static bool take_rest(struct str *path, size_t leave, struct str *taken)
{
	size_t have = segments(*path);
	struct str segment = { 0 };
	if (have <= leave)
		return false;
	*taken = str_tail(*path, 1);
	while (have-- > leave)
		next(path, &segment);
	taken->n = (size_t)(segment.p + segment.n - taken->p);
	return true;
}

/* Most rows differ from a path before their first parameter; told so without
 * taking either apart. */
static bool may_fit(const char *pattern, struct str path)
{
	size_t n = strcspn(pattern, "{");
	return path.n >= n && memcmp(path.p, pattern, n) == 0;
}

static bool fits(const char *pattern, struct str path,
		 struct str params[ROUTER_PARAMS])
{
	struct str todo = str_of(pattern), want, got;
	size_t n = 0;
	while (next(&todo, &want)) {
		bool is_param = str_starts(want, "{");
		bool is_rest = is_param && str_ends(want, "...}");
		if (is_rest ? !take_rest(&path, segments(todo), &got)
			    : !next(&path, &got))
			return false;
		if (!is_param) {
			if (got.n != want.n || memcmp(got.p, want.p, got.n))
				return false;
			continue;
		}
		if (!got.n)
			return false;
		assert(n < ROUTER_PARAMS);
		params[n++] = got;
	}
	return !path.n;
}

static bool answers(const struct route *row, enum http_method method)
{
	return row->method == method ||
	       (row->method == HTTP_GET && method == HTTP_HEAD);
}

static void allow(struct route_match *out, enum http_method method)
{
	const char *name = head_method_name(method);
	size_t n = strlen(out->allow);
	/* No name of a method lies within another's. */
	if (!strstr(out->allow, name))
		snprintf(out->allow + n, sizeof out->allow - n, "%s%s",
			 n ? ", " : "", name);
}

int router_find(const struct route *rows, size_t n, enum http_method method,
		struct str path, struct route_match *out)
{
	*out = (struct route_match){ .allow = "" };
	if (!str_starts(path, "/"))
		return ROUTER_NO_PATH;
	for (size_t i = 0; i < n; i++) {
		if (!may_fit(rows[i].pattern, path) ||
		    !fits(rows[i].pattern, path, out->params))
			continue;
		if (answers(&rows[i], method)) {
			out->route = &rows[i];
			out->allow[0] = '\0';
			return 0;
		}
		allow(out, rows[i].method);
		if (rows[i].method == HTTP_GET)
			allow(out, HTTP_HEAD);
	}
	return out->allow[0] ? ROUTER_NO_METHOD : ROUTER_NO_PATH;
}
