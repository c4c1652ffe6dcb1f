#include "api/access.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

/* The outcome for a request with this Host and Origin (NULL: without). */
static int check(enum access_way way, const char *origins, const char *host,
		 const char *origin)
{
	struct access a = { 0 };
	struct err e;
	struct http_head h = { .minor = 1 };
	if (host) {
		h.has_host = true;
		h.host = str_of(host);
	}
	if (origin)
		h.fields[h.n_fields++] =
			(struct http_field){ STR("Origin"), str_of(origin) };
	access_set_origins(&a, origins);
	int got = access_check(&a, way, &h, &e);
	if (got)
		assert_int_equal(e.code, ERR_FORBIDDEN);
	access_fini(&a);
	return got;
}

static void names_of_this_host_are_right_on_any_port(void **state)
{
	static const char *const good[] = {
		"localhost",
		"localhost:12434",
		"LocalHost:1",
		"127.0.0.1:8080",
		"[::1]",
		"[::1]:12434",
		"model-runner.docker.internal",
		"host.docker.internal:12434",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(check(ACCESS_HOST, NULL, good[i], NULL), 0);
}

/* A page at evil.example whose name leads to 127.0.0.1 sends its own Host. */
static void other_names_are_refused_on_tcp(void **state)
{
	static const char *const bad[] = {
		"evil.example",	      "evil.example:12434", "",
		"localhost.evil",     "127.0.0.1.evil:80",  "localhost:",
		"localhost:99999",    "localhost:80x",	    "[::1",
		"[::2]:80",	      "169.254.169.254",    "0.0.0.0:12434",
		"localhost:80:12434",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(check(ACCESS_HOST, NULL, bad[i], NULL), -1);
	assert_int_equal(check(ACCESS_HOST, NULL, NULL, NULL), -1);
}

static void the_socket_takes_any_host(void **state)
{
	(void)state;
	assert_int_equal(check(ACCESS_SOCKET, NULL, "d", NULL), 0);
	assert_int_equal(check(ACCESS_SOCKET, NULL, "", NULL), 0);
}

static void pages_of_this_host_may_call(void **state)
{
	static const char *const good[] = {
		"http://localhost",	 "http://localhost:3000",
		"https://127.0.0.1:443", "http://[::1]:5173",
		"http://0.0.0.0:8080",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(check(ACCESS_HOST, NULL, "localhost", good[i]),
				 0);
}

static void strange_pages_are_refused_on_every_way(void **state)
{
	static const char *const bad[] = {
		"http://evil.example",
		"null",
		"http://localhost.evil:80",
		"file://",
		"",
		"http://localhost:3000/x",
		"http://a@localhost",
		"ftp://localhost",
		"http://localhost:*",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(check(ACCESS_HOST, NULL, "localhost", bad[i]),
				 -1);
		assert_int_equal(check(ACCESS_SOCKET, NULL, "d", bad[i]), -1);
	}
}

static void listed_origins_may_call(void **state)
{
	const char *list = " https://my.app , http://other:81";
	(void)state;
	assert_int_equal(
		check(ACCESS_HOST, list, "localhost", "https://my.app"), 0);
	assert_int_equal(
		check(ACCESS_HOST, list, "localhost", "http://other:81"), 0);
	assert_int_equal(check(ACCESS_HOST, list, "localhost", "http://my.app"),
			 -1);
	assert_int_equal(
		check(ACCESS_HOST, "*", "localhost", "http://evil.example"), 0);
}

static void an_origin_at_the_limit_may_call_and_none_above(void **state)
{
	(void)state;
	char origin[LIMIT_ORIGIN_BYTES + 2] = "http://";
	size_t n = strlen(origin);
	memset(origin + n, 'a', LIMIT_ORIGIN_BYTES - n);
	assert_int_equal(check(ACCESS_SOCKET, "*", NULL, origin), 0);
	origin[LIMIT_ORIGIN_BYTES] = 'a';
	assert_int_equal(check(ACCESS_SOCKET, "*", NULL, origin), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_this_host_are_right_on_any_port),
		cmocka_unit_test(other_names_are_refused_on_tcp),
		cmocka_unit_test(the_socket_takes_any_host),
		cmocka_unit_test(pages_of_this_host_may_call),
		cmocka_unit_test(strange_pages_are_refused_on_every_way),
		cmocka_unit_test(listed_origins_may_call),
		cmocka_unit_test(
			an_origin_at_the_limit_may_call_and_none_above),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
