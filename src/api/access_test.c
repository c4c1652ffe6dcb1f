#include "api/access.h"
#include "api/caller.h"
#include "api/keys.h"
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
	struct caller c = { .way = way };
	snprintf(c.local, sizeof c.local, "%s", "169.254.255.81:80");
	int got = access_check(&a, &c, &h, &e);
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

/* The outcome of a Host on this way, with these names and perhaps keys. */
static int check_names(enum access_way way, const char *names, bool with_keys,
		       const char *local, const char *host)
{
	struct access a = { 0 };
	struct err e;
	struct caller c = { .way = way };
	struct http_head h = { .minor = 1,
			       .has_host = true,
			       .host = str_of(host) };
	snprintf(c.local, sizeof c.local, "%s", local);
	a.keys = with_keys ? keys_new() : NULL;
	access_set_names(&a, names);
	int got = access_check(&a, &c, &h, &e);
	access_fini(&a);
	keys_free(a.keys);
	return got;
}

static void the_address_itself_is_a_name(void **state)
{
	static const struct {
		const char *local, *host;
		int got;
	} rows[] = {
		{ "169.254.255.81:80", "169.254.255.81", 0 },
		{ "169.254.255.81:80", "169.254.255.81:80", 0 },
		{ "169.254.255.81:80", "169.254.255.80", -1 },
		{ "[fd6d:6f64:656c::80]:80", "[fd6d:6f64:656c::80]", 0 },
		{ "[fd6d:6f64:656c::80]:80", "[fd6d:6f64:656c::81]:80", -1 },
		{ "172.17.0.1:12434", "172.17.0.1:12434", 0 },
		{ "[::ffff:10.1.2.3]:12434", "10.1.2.3:12434", 0 },
		{ "", "169.254.255.81", -1 },
		{ "", "", -1 },
	};
	static const enum access_way ways[] = { ACCESS_HOST, ACCESS_CONTAINERS,
						ACCESS_GATEWAY, ACCESS_OTHER };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t w = 0; w < ARRAY_LEN(ways); w++)
			assert_int_equal(check_names(ways[w], NULL, false,
						     rows[i].local,
						     rows[i].host),
					 rows[i].got);
}

static void names_count_only_where_a_key_is_needed(void **state)
{
	const char *names = "models.example.com, other.example.com";
	const char *host = "models.example.com:12434";
	(void)state;
	assert_int_equal(check_names(ACCESS_OTHER, names, true, "", host), 0);
	assert_int_equal(check_names(ACCESS_HOST, names, true, "", host), 0);
	assert_int_equal(check_names(ACCESS_OTHER, names, false, "", host), -1);
	assert_int_equal(
		check_names(ACCESS_OTHER, names, true, "", "evil.example.com"),
		-1);
}

/* Every way, without keys, in every mode for containers. */
static void each_way_has_its_classes(void **state)
{
	static const struct {
		enum access_way way;
		unsigned off, inference, full;
	} rows[] = {
		{ ACCESS_HOST, 15, 15, 15 },   { ACCESS_SOCKET, 15, 15, 15 },
		{ ACCESS_DOCKER, 15, 15, 15 }, { ACCESS_CONTAINERS, 0, 3, 15 },
		{ ACCESS_GATEWAY, 0, 3, 15 },  { ACCESS_OTHER, 1, 1, 1 },
	};
	struct access a = { 0 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		a.containers = ACCESS_MODE_OFF;
		assert_int_equal(access_classes(&a, rows[i].way, NULL),
				 rows[i].off);
		a.containers = ACCESS_MODE_INFERENCE;
		assert_int_equal(access_classes(&a, rows[i].way, NULL),
				 rows[i].inference);
		a.containers = ACCESS_MODE_FULL;
		assert_int_equal(access_classes(&a, rows[i].way, NULL),
				 rows[i].full);
	}
}

static void with_keys_only_local_sockets_need_none(void **state)
{
	struct access a = { .containers = ACCESS_MODE_FULL };
	(void)state;
	a.keys = keys_new();
	for (enum access_way w = ACCESS_HOST; w <= ACCESS_OTHER; w++) {
		bool is_local = w == ACCESS_SOCKET || w == ACCESS_DOCKER;
		assert_int_equal(access_needs_key(&a, w), !is_local);
		assert_int_equal(access_classes(&a, w, NULL),
				 is_local ? 15 : 1);
	}
	keys_free(a.keys);
}

static void ways_have_names(void **state)
{
	(void)state;
	for (enum access_way w = ACCESS_HOST; w <= ACCESS_OTHER; w++) {
		enum access_way got;
		assert_true(access_way_parse(str_of(access_way_name(w)), &got));
		assert_int_equal(got, w);
	}
	assert_false(access_way_parse(STR("hosts"), &(enum access_way){ 0 }));
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
		cmocka_unit_test(the_address_itself_is_a_name),
		cmocka_unit_test(names_count_only_where_a_key_is_needed),
		cmocka_unit_test(each_way_has_its_classes),
		cmocka_unit_test(with_keys_only_local_sockets_need_none),
		cmocka_unit_test(ways_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
