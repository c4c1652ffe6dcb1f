#include "http/router.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void handler(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	(void)app;
	(void)x;
	(void)m;
}

static const struct route rows[] = {
	{ HTTP_GET, "/", 0, handler },
	{ HTTP_GET, "/models", 0, handler },
	{ HTTP_POST, "/models/create", 0, handler },
	{ HTTP_POST, "/models/{name...}/tag", 0, handler },
	{ HTTP_GET, "/models/{name...}", 0, handler },
	{ HTTP_DELETE, "/models/{name...}", 0, handler },
	{ HTTP_POST, "/engines/v1/chat", 0, handler },
	{ HTTP_POST, "/engines/{engine}/v1/chat", 0, handler },
	{ HTTP_GET, "/engines/{engine}/v1/models/{name...}", 0, handler },
	{ HTTP_PUT, "/x/{a}/{b...}/y/{c}", 0, handler },
};

/* What a request gives: the pattern and its parameters, or the methods. */
static const struct {
	enum http_method method;
	const char *path;
	const char *found; /* a pattern, "404", or the methods allowed */
	const char *params[ROUTER_PARAMS];
} cases[] = {
	{ HTTP_GET, "/", "/", { 0 } },
	{ HTTP_HEAD, "/", "/", { 0 } },
	{ HTTP_POST, "/", "GET, HEAD", { 0 } },
	{ HTTP_GET, "/models", "/models", { 0 } },
	{ HTTP_GET, "/model", "404", { 0 } },
	{ HTTP_GET, "/modelsx", "404", { 0 } },
	{ HTTP_GET, "/MODELS", "404", { 0 } },
	{ HTTP_GET, "*", "404", { 0 } },
	{ HTTP_POST, "/models/create", "/models/create", { 0 } },
	{ HTTP_GET, "/models/create", "/models/{name...}", { "create" } },
	{ HTTP_GET, "/models/a", "/models/{name...}", { "a" } },
	{ HTTP_HEAD, "/models/a/b", "/models/{name...}", { "a/b" } },
	{ HTTP_DELETE, "/models/a/b:c", "/models/{name...}", { "a/b:c" } },
	{ HTTP_POST, "/models/a/b/tag", "/models/{name...}/tag", { "a/b" } },
	{ HTTP_POST,
	  "/models/a/tag/tag",
	  "/models/{name...}/tag",
	  { "a/tag" } },
	{ HTTP_GET, "/models/a/tag", "/models/{name...}", { "a/tag" } },
	{ HTTP_GET, "/models/tag", "/models/{name...}", { "tag" } },
	{ HTTP_POST, "/models/tag", "GET, HEAD, DELETE", { 0 } },
	{ HTTP_PUT, "/models/a/tag", "POST, GET, HEAD, DELETE", { 0 } },
	{ HTTP_OTHER, "/models", "GET, HEAD", { 0 } },
	{ HTTP_POST, "/engines/v1/chat", "/engines/v1/chat", { 0 } },
	{ HTTP_POST,
	  "/engines/x/v1/chat",
	  "/engines/{engine}/v1/chat",
	  { "x" } },
	{ HTTP_POST, "/engines/x/y/v1/chat", "404", { 0 } },
	{ HTTP_POST, "/engines/v1/chat/x", "404", { 0 } },
	{ HTTP_GET,
	  "/engines/x/v1/models/a/b",
	  "/engines/{engine}/v1/models/{name...}",
	  { "x", "a/b" } },
	{ HTTP_GET, "/engines/x/v1/models", "404", { 0 } },
	{ HTTP_PUT,
	  "/x/1/2/3/y/4",
	  "/x/{a}/{b...}/y/{c}",
	  { "1", "2/3", "4" } },
	{ HTTP_PUT, "/x/1/y/4", "404", { 0 } },
};

static void a_request_finds_the_first_row_that_fits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct route_match m;
		struct str path = guard_place(str_of(cases[i].path));
		int r = router_find(rows, ARRAY_LEN(rows), cases[i].method,
				    path, &m);
		const char *found = r == 0		    ? m.route->pattern
				    : r == ROUTER_NO_METHOD ? m.allow
							    : "404";
		assert_string_equal(found, cases[i].found);
		for (size_t p = 0; r == 0 && p < ROUTER_PARAMS; p++) {
			const char *wanted = cases[i].params[p];
			assert_int_equal(m.params[p].n,
					 wanted ? strlen(wanted) : 0);
			if (wanted)
				assert_memory_equal(m.params[p].p, wanted,
						    m.params[p].n);
		}
	}
}

/* A pattern's end was once taken for a NUL that the path had there. */
static void a_nul_in_a_path_fits_no_literal(void **state)
{
	(void)state;
	static const struct str paths[] = {
		{ "/\0", 2 },
		{ "/models\0/x", 10 },
		{ "/models/create\0\0\0\0\0\0\0", 21 },
	};
	struct route_match m;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_not_equal(router_find(rows, ARRAY_LEN(rows),
						 HTTP_POST,
						 guard_place(paths[i]), &m),
				     0);
}

static void an_empty_table_has_no_path(void **state)
{
	(void)state;
	struct route_match m;
	assert_int_equal(router_find(rows, 0, HTTP_GET, STR("/"), &m),
			 ROUTER_NO_PATH);
	assert_null(m.route);
}

static void all_methods_together_fit_into_allow(void **state)
{
	(void)state;
	static const struct route all[] = {
		{ HTTP_GET, "/", 0, handler },
		{ HTTP_HEAD, "/", 0, handler },
		{ HTTP_POST, "/", 0, handler },
		{ HTTP_PUT, "/", 0, handler },
		{ HTTP_DELETE, "/", 0, handler },
		{ HTTP_OPTIONS, "/", 0, handler },
		{ HTTP_PATCH, "/", 0, handler },
	};
	struct route_match m;
	assert_int_equal(
		router_find(all, ARRAY_LEN(all), HTTP_OTHER, STR("/"), &m),
		ROUTER_NO_METHOD);
	assert_string_equal(m.allow,
			    "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_finds_the_first_row_that_fits),
		cmocka_unit_test(a_nul_in_a_path_fits_no_literal),
		cmocka_unit_test(an_empty_table_has_no_path),
		cmocka_unit_test(all_methods_together_fit_into_allow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
