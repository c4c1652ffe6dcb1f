#include "io/weburl.h"
#include "io/proxyenv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const char *parse(const char *text)
{
	static char out[WEBURL_TEXT_BYTES];
	static struct weburl u;
	struct err e;
	if (weburl_parse(str_of(text), &u, &e))
		return NULL;
	return weburl_text(&u, out);
}

static void good_ones_get_one_form(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "https://Reg.Example", "https://reg.example:443/" },
		{ "HTTP://a:8080/x?y=z#f", "http://a:8080/x?y=z" },
		{ "http://[::1]:5000/", "http://[::1]:5000/" },
		{ "https://a?x", "https://a:443/?x" },
		{ "https://a_b-c.d/%2e%2E/", "https://a_b-c.d:443/%2e%2E/" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(parse(cases[i][0]), cases[i][1]);
}

static void bad_ones_are_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"a",
		"ftp://a/",
		"file:///etc/passwd",
		"https:/a",
		"https://",
		"https:///x",
		"https://user@a/",
		"https://user:pass@a/",
		"https://a:0/",
		"https://a:65536/",
		"https://a:/",
		"https://a b/",
		"https://a\\b/",
		"https://a/\r\nX: y",
		"https://a/ b",
		"https://\xc3\xa4/",
		"https://[::1/",
		"https://[::1%25lo]/",
		"https://-a/",
		"https://a%2eb/",
		"https://a/<",
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_null(parse(cases[i]));
}

static void a_place_is_seen_from_where_we_are(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "/z", "https://h:443/z" },
		{ "z?q", "https://h:443/x/z?q" },
		{ "?q", "https://h:443/x/y?q" },
		{ "//other/z", "https://other:443/z" },
		{ "http://other:1/z", "http://other:1/z" },
		{ "  /z  ", "https://h:443/z" },
		{ "javascript:alert(1)", NULL },
		{ "ftp://x/", NULL },
		{ "", NULL },
		{ "//user@x/", NULL },
	};
	static struct weburl base, got;
	static char text[WEBURL_TEXT_BYTES];
	struct err e;
	assert_int_equal(weburl_parse(STR("https://h/x/y?old"), &base, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = weburl_resolve(&base, str_of(cases[i][0]), &got, &e);
		assert_int_equal(r, cases[i][1] ? 0 : -1);
		if (cases[i][1])
			assert_string_equal(weburl_text(&got, text),
					    cases[i][1]);
	}
}

static void a_target_has_a_ceiling(void **state)
{
	static char text[LIMIT_TARGET_BYTES + 64];
	(void)state;
	int n = snprintf(text, sizeof text, "https://a/");
	/* Its slash, and the NUL. */
	memset(text + n, 'x', LIMIT_TARGET_BYTES - 3);
	assert_non_null(parse(text));
	memset(text + n, 'x', LIMIT_TARGET_BYTES);
	assert_null(parse(text));
}

static bool excludes(const char *list, const char *url)
{
	static struct weburl u;
	struct err e;
	assert_int_equal(weburl_parse(str_of(url), &u, &e), 0);
	return proxyenv_excludes(str_of(list), &u);
}

static void no_proxy_is_read_as_everywhere(void **state)
{
	(void)state;
	assert_true(excludes("corp.example", "https://corp.example/"));
	assert_true(excludes("corp.example", "https://a.corp.example/"));
	assert_true(excludes("a, .corp.example ", "https://x.corp.example/"));
	assert_true(excludes("*.corp.example", "https://x.corp.example/"));
	assert_false(excludes("corp.example", "https://notcorp.example/"));
	assert_false(excludes("corp.example", "https://corp.example.org/"));
	assert_true(
		excludes("corp.example:8443", "https://corp.example:8443/"));
	assert_false(excludes("corp.example:8443", "https://corp.example/"));
	assert_true(excludes("*", "https://x/"));
	assert_true(excludes("10.0.0.0/8", "https://10.9.9.9/"));
	assert_false(excludes("10.0.0.0/8", "https://11.0.0.1/"));
	assert_true(excludes("10.1.2.3", "http://10.1.2.3:5000/"));
	assert_true(excludes("fd00::/8", "http://[fd00::1]/"));
	assert_true(excludes("[fd00::1]:80", "http://[fd00::1]/"));
	assert_false(excludes("", "https://x/"));
	assert_false(excludes("1.2.3.4/99", "https://1.2.3.4/"));
}

static void what_is_on_this_machine_needs_no_proxy(void **state)
{
	static struct weburl u;
	struct err e;
	(void)state;
	setenv("https_proxy", "http://p:1", 1);
	setenv("HTTP_PROXY", "http://q:1", 1);
	unsetenv("http_proxy");
	setenv("no_proxy", "b", 1);
	static const char *const cases[][2] = {
		{ "https://a/", "http://p:1" }, { "http://a/", "http://q:1" },
		{ "https://b/", "" },		{ "http://localhost/", "" },
		{ "https://127.0.0.1/", "" },	{ "http://[::1]/", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(weburl_parse(str_of(cases[i][0]), &u, &e), 0);
		assert_string_equal(proxyenv_find(&u), cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones_get_one_form),
		cmocka_unit_test(bad_ones_are_refused),
		cmocka_unit_test(a_place_is_seen_from_where_we_are),
		cmocka_unit_test(a_target_has_a_ceiling),
		cmocka_unit_test(no_proxy_is_read_as_everywhere),
		cmocka_unit_test(what_is_on_this_machine_needs_no_proxy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
