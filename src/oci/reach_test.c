#include "oci/reach.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct netaddr addr(const char *text)
{
	struct netaddr a;
	assert_true(netaddr_parse(text, &a));
	return a;
}

static bool may(const char *home, const char *host, const char *to)
{
	struct reach r = { .host = "registry.example" };
	struct netaddr h = addr(home), a = addr(to);
	reach_settle(&r, &h);
	return reach_allows(&r, host, false, &a);
}

static void the_public_world_is_open_to_all(void **state)
{
	(void)state;
	assert_true(may("8.8.8.8", "cdn.example", "1.1.1.1"));
	assert_true(may("127.0.0.1", "cdn.example", "1.1.1.1"));
	assert_true(may("10.0.0.1", "cdn.example", "2606:4700::1"));
}

static void a_registry_outside_cannot_send_us_inside(void **state)
{
	(void)state;
	static const char *const inside[] = {
		"127.0.0.1",
		"127.8.8.8",
		"0.0.0.0",
		"::1",
		"::",
		"10.0.0.1",
		"172.16.0.1",
		"172.31.255.255",
		"192.168.1.1",
		"100.64.0.1",
		"fd00::1",
		"169.254.169.254",
		"fe80::1",
		"::ffff:127.0.0.1",
		"::ffff:10.1.2.3",
		"64:ff9b::7f00:1",
		"2002:7f00:1::",
		"224.0.0.1",
		"255.255.255.255",
		"ff02::1",
		"2130706433",
		"0x7f.1",
		"0177.0.0.1",
	};
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		assert_false(may("8.8.8.8", "evil.example", inside[i]));
		/* Its own name is no pass: names change their minds. */
		assert_false(may("8.8.8.8", "registry.example", inside[i]));
	}
}

static void a_registry_inside_stays_with_its_kind(void **state)
{
	(void)state;
	assert_true(may("10.0.0.1", "other.corp", "10.0.0.1"));
	assert_true(may("10.0.0.1", "storage.corp", "10.0.0.2"));
	assert_true(may("10.0.0.1", "registry.example", "192.168.0.1"));
	assert_false(may("10.0.0.1", "storage.corp", "127.0.0.1"));
	assert_false(may("10.0.0.1", "registry.example", "127.0.0.1"));
	assert_false(may("10.0.0.1", "storage.corp", "169.254.169.254"));
	assert_true(may("127.0.0.1", "token.example", "127.0.0.1"));
	assert_true(may("127.0.0.1", "localhost", "::1"));
	assert_false(may("127.0.0.1", "other", "127.0.0.2"));
	assert_false(may("127.0.0.1", "other", "10.0.0.1"));
	assert_false(may("127.0.0.1", "other", "169.254.169.254"));
}

static void who_was_named_may_be_anywhere_until_it_is_known(void **state)
{
	(void)state;
	struct reach r = { .host = "registry.example" };
	struct netaddr a = addr("10.0.0.1"), other = addr("127.0.0.1");
	assert_true(reach_allows(&r, r.host, true, &a));
	assert_false(reach_allows(&r, r.host, false, &a));
	reach_settle(&r, &a);
	reach_settle(&r, &other); /* changes nothing */
	assert_true(reach_allows(&r, r.host, true, &a));
	assert_false(reach_allows(&r, r.host, true, &other));
}

static int check(const char *from, const char *to)
{
	struct reach r = { .host = "registry.example" };
	struct netaddr home = addr("8.8.8.8");
	struct weburl f, t;
	struct err e;
	reach_settle(&r, &home);
	assert_int_equal(weburl_parse(str_of(from), &f, &e), 0);
	assert_int_equal(weburl_parse(str_of(to), &t, &e), 0);
	return reach_check(&r, &f, &t, &e);
}

static void what_can_be_seen_in_a_url_is_refused_before_anybody_connects(
	void **state)
{
	(void)state;
	assert_int_equal(check("https://registry.example/", "https://cdn/"), 0);
	assert_int_equal(check("https://registry.example/", "http://cdn/"), -1);
	assert_int_equal(check("http://registry.example/", "http://cdn/"), 0);
	static const char *const inside[] = {
		"https://localhost/",	    "https://x.localhost/",
		"https://127.0.0.1/",	    "https://2130706433/",
		"https://[::1]/",	    "https://[::ffff:7f00:1]/",
		"https://169.254.169.254/", "https://host.docker.internal/",
		"https://10.1.2.3:8080/",
	};
	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		assert_int_equal(check("https://registry.example/", inside[i]),
				 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_public_world_is_open_to_all),
		cmocka_unit_test(a_registry_outside_cannot_send_us_inside),
		cmocka_unit_test(a_registry_inside_stays_with_its_kind),
		cmocka_unit_test(
			who_was_named_may_be_anywhere_until_it_is_known),
		cmocka_unit_test(
			what_can_be_seen_in_a_url_is_refused_before_anybody_connects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
