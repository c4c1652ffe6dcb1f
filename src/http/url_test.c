#include "http/url.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static int parse(struct str text, struct arena *a, struct url_target *t,
		 struct err *e)
{
	return url_parse_target(guard_place(text), a, t, e);
}

static void assert_str(struct str s, const char *wanted)
{
	if (!str_eq(s, wanted))
		fail_msg("'%.*s', not '%s'", STR_ARG(s), wanted);
}

static void a_target_is_decoded_and_cleaned(void **state)
{
	(void)state;
	static const struct {
		const char *target, *path, *query;
	} cases[] = {
		{ "/", "/", "" },
		{ "*", "*", "" },
		{ "/models", "/models", "" },
		{ "/models/", "/models", "" },
		{ "//models", "/models", "" },
		{ "/a//b///c", "/a/b/c", "" },
		{ "/a/./b", "/a/b", "" },
		{ "/.", "/", "" },
		{ "/..", "/", "" },
		{ "/../../etc", "/etc", "" },
		{ "/a/../b", "/b", "" },
		{ "/a/..", "/", "" },
		{ "/a/b/../..", "/", "" },
		{ "/a/b/../../../c", "/c", "" },
		{ "/...", "/...", "" },
		{ "/a/..b", "/a/..b", "" },
		{ "/%2e%2E/a", "/a", "" },
		{ "/a%2fb", "/a/b", "" },
		{ "/a/%2F/b", "/a/b", "" },
		{ "/a%2f..%2fb", "/b", "" },
		{ "/ai%2Fsmollm2%3alatest", "/ai/smollm2:latest", "" },
		{ "/%c3%A4+b", "/\xc3\xa4+b", "" },
		{ "/%25", "/%", "" },
		{ "/%2525", "/%25", "" },
		{ "/%3f%23", "/?#", "" },
		{ "/a?b=c&d", "/a", "b=c&d" },
		{ "/a?", "/a", "" },
		{ "/a?b?c=%zz", "/a", "b?c=%zz" },
		{ "/?/../x", "/", "/../x" },
		{ "http://host/a/b?c", "/a/b", "c" },
		{ "HTTPS://host:80/a", "/a", "" },
		{ "http://[::1]:80", "/", "" },
		{ "http://host?x", "/", "x" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a;
		struct url_target t;
		struct err e = { .msg = "" };
		arena_init(&a);
		if (parse(str_of(cases[i].target), &a, &t, &e))
			fail_msg("%s: %s", cases[i].target, e.msg);
		assert_str(t.path, cases[i].path);
		assert_str(t.query, cases[i].query);
		arena_fini(&a);
	}
}

#define BAD(text)                      \
	{                              \
		text, sizeof(text) - 1 \
	}

static void a_target_that_is_no_path_is_refused(void **state)
{
	(void)state;
	static const struct str bad[] = {
		BAD(""),
		BAD("a"),
		BAD("?x"),
		BAD("**"),
		BAD("host:80"),
		BAD("http:/a"),
		BAD("http:///a"),
		BAD("http://"),
		BAD("http://u@h/"),
		BAD("http://h:x/"),
		BAD("ftp://h/"),
		BAD("/a#b"),
		BAD("/a?b#c"),
		BAD("/%"),
		BAD("/%2"),
		BAD("/%zz"),
		BAD("/%2g"),
		BAD("/% 2"),
		BAD("/%00"),
		BAD("/a\0b"),
		BAD("/%0a"),
		BAD("/%1f"),
		BAD("/%7f"),
		BAD("/%ff"),
		BAD("/%c0%af"),	      /* an overlong slash */
		BAD("/%e0%80%af"),    /* another */
		BAD("/%ed%a0%80"),    /* a surrogate */
		BAD("/%f4%90%80%80"), /* beyond U+10FFFF */
		BAD("/%c3"),
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct arena a;
		struct url_target t;
		struct err e;
		arena_init(&a);
		if (parse(bad[i], &a, &t, &e) != -1)
			fail_msg("%s was taken", bad[i].p);
		assert_int_equal(e.code, ERR_INVALID);
		arena_fini(&a);
	}
}

static void a_parameter_is_found_and_decoded(void **state)
{
	(void)state;
	static const struct {
		const char *query, *name, *value;
	} cases[] = {
		{ "", "a", NULL },	   { "a", "a", "" },
		{ "a=", "a", "" },	   { "a=b", "a", "b" },
		{ "b&a=c", "a", "c" },	   { "a=1&a=2", "a", "1" },
		{ "a=b=c", "a", "b=c" },   { "a=b+c%2Bd", "a", "b c+d" },
		{ "%61=x", "a", "x" },	   { "A=x", "a", NULL },
		{ "aa=x", "a", NULL },	   { "&&a=x&", "a", "x" },
		{ "a=%zz", "a", NULL },	   { "a=%00", "a", NULL },
		{ "a=%ff&a=2", "a", "2" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a;
		struct str value;
		arena_init(&a);
		bool found = url_query_get(guard_place(str_of(cases[i].query)),
					   cases[i].name, &a, &value);
		assert_int_equal(found, cases[i].value != NULL);
		if (found)
			assert_str(value, cases[i].value);
		arena_fini(&a);
	}
}

static void a_switch_takes_the_words_that_go_takes(void **state)
{
	(void)state;
	static const struct {
		const char *query;
		int outcome;
		bool absent, value;
	} cases[] = {
		{ "x", 0, true, true },
		{ "x", 0, false, false },
		{ "force", 0, false, true },
		{ "force=1", 0, false, true },
		{ "force=t", 0, false, true },
		{ "force=TRUE", 0, false, true },
		{ "force=0", 0, true, false },
		{ "force=False", 0, true, false },
		{ "force=yes", -1, 0, 0 },
		{ "force=tRUE", -1, 0, 0 },
		{ "force=2", -1, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a;
		struct err e;
		bool value;
		arena_init(&a);
		int r = url_query_bool(str_of(cases[i].query), "force",
				       cases[i].absent, &a, &value, &e);
		assert_int_equal(r, cases[i].outcome);
		if (r)
			assert_string_equal(e.param, "force");
		else
			assert_int_equal(value, cases[i].value);
		arena_fini(&a);
	}
}

static void a_host_is_told_from_what_is_none(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a",
		"localhost:12434",
		"model-runner.docker.internal",
		"127.0.0.1",
		"127.0.0.1:80",
		"[::1]",
		"[::1]:80",
		"a:",
		"[fe80::1:2]:",
	};
	static const char *const bad[] = {
		"",	 ":80", "a:b", "a:65536", "a:-1",	"a:80:80",
		"u@a",	 "a/b", "a b", "a,b",	  "a%2e",	"::1",
		"[::1",	 "[]",	"[a]", "[::1]x",  "[::1%eth0]", "[::1]]",
		"a\x80", "a?",	"a#",  "\"a\"",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!url_is_authority(guard_place(str_of(good[i]))))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (url_is_authority(guard_place(str_of(bad[i]))))
			fail_msg("%s", bad[i]);
}

static void a_base_url_is_taken_apart(void **state)
{
	(void)state;
	static const struct {
		const char *text, *address, *host, *prefix;
		bool is_tls;
	} cases[] = {
		{ "http://h", "h:80", "h", "", false },
		{ "http://h/", "h:80", "h", "", false },
		{ "http://h:80/v1", "h:80", "h", "/v1", false },
		{ "HTTP://h:9000/v1//", "h:9000", "h:9000", "/v1", false },
		{ "https://h/a/b", "h:443", "h", "/a/b", true },
		{ "https://h:80", "h:80", "h:80", "", true },
		{ "http://[::1]:8080/v1", "[::1]:8080", "[::1]:8080", "/v1",
		  false },
		{ "https://[::1]", "[::1]:443", "[::1]", "", true },
		{ "localhost:12434", "localhost:12434", "localhost:12434", "",
		  false },
		{ "h/v1", "h:80", "h", "/v1", false },
		{ "unix:/run/x.sock", "unix:/run/x.sock", "localhost", "",
		  false },
		{ "unix:///run/x.sock", "unix:/run/x.sock", "localhost", "",
		  false },
		{ "unix:/run/x.sock:/exp/v1/", "unix:/run/x.sock", "localhost",
		  "/exp/v1", false },
		{ "unix:/run/a:b.sock", "unix:/run/a:b.sock", "localhost", "",
		  false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct url_base b;
		struct err e = { .msg = "" };
		if (url_parse_base(cases[i].text, &b, &e))
			fail_msg("%s: %s", cases[i].text, e.msg);
		assert_string_equal(b.address, cases[i].address);
		assert_string_equal(b.host, cases[i].host);
		assert_string_equal(b.prefix, cases[i].prefix);
		assert_int_equal(b.is_tls, cases[i].is_tls);
	}
}

static void a_bad_base_url_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"/v1",
		"http://",
		"http:///v1",
		"ftp://h",
		"http+unix://h",
		"://h",
		"http://h:0",
		"http://h:65536",
		"http://h:x",
		"http://user:pass@h",
		"http://h/a?b",
		"http://h/a#b",
		"http://h/a b",
		"http://h/\xc3\xa4",
		"http://h?b",
		"unix:",
		"unix:run/x.sock",
		"unix://host/x.sock",
		"unix::/v1",
		"unix:/x.sock:/v1?a",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct url_base b;
		struct err e;
		if (url_parse_base(bad[i], &b, &e) != -1)
			fail_msg("%s was taken", bad[i]);
		assert_true(strlen(e.msg) > 10);
	}
}

/* "unix:/xx..." or "http://h/xx..." with n bytes of path. */
static int parse_long(const char *start, size_t n, struct err *e)
{
	char text[1000];
	struct url_base b;
	size_t at = (size_t)snprintf(text, sizeof text, "%s/", start);
	memset(text + at, 'x', n - 1);
	text[at + n - 1] = '\0';
	return url_parse_base(text, &b, e);
}

static void what_does_not_fit_is_refused_and_not_cut(void **state)
{
	(void)state;
	struct err e;
	assert_int_equal(parse_long("unix:", 107, &e), 0);
	assert_int_equal(parse_long("unix:", 108, &e), -1);
	assert_int_equal(parse_long("http://h", 255, &e), 0);
	assert_int_equal(parse_long("http://h", 256, &e), -1);
	char text[400];
	struct url_base b;
	snprintf(text, sizeof text, "http://%0253d:65535", 0);
	assert_int_equal(url_parse_base(text, &b, &e), 0);
	assert_int_equal(strlen(b.address), 253 + 6);
	assert_string_equal(b.address, b.host);
	snprintf(text, sizeof text, "http://%0254d", 0);
	assert_int_equal(url_parse_base(text, &b, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_target_is_decoded_and_cleaned),
		cmocka_unit_test(a_target_that_is_no_path_is_refused),
		cmocka_unit_test(a_parameter_is_found_and_decoded),
		cmocka_unit_test(a_switch_takes_the_words_that_go_takes),
		cmocka_unit_test(a_host_is_told_from_what_is_none),
		cmocka_unit_test(a_base_url_is_taken_apart),
		cmocka_unit_test(a_bad_base_url_is_refused),
		cmocka_unit_test(what_does_not_fit_is_refused_and_not_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
