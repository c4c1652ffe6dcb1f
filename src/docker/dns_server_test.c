#include "docker/dns_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void an_address_is_read_and_written(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "1.2.3.4", "1.2.3.4:53" },
		{ "1.2.3.4:5353", "1.2.3.4:5353" },
		{ "fd00::1", "[fd00::1]:53" },
		{ "[fd00::1]", "[fd00::1]:53" },
		{ "[fd00::1]:65535", "[fd00::1]:65535" },
		{ "fe80::1%lo", "[fe80::1%lo]:53" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sockaddr_storage a, again;
		struct err e;
		char text[80];
		assert_int_equal(dns_server_parse(cases[i][0], 53, &a, &e), 0);
		dns_server_text((struct sockaddr *)&a, text, sizeof text);
		assert_string_equal(text, cases[i][1]);
		assert_int_equal(dns_server_parse(text, 1, &again, &e), 0);
		assert_true(dns_server_same((struct sockaddr *)&a,
					    (struct sockaddr *)&again));
	}
}

static void what_is_none_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"",	    ":53",	   "localhost", "1.2.3:53",
		"1.2.3.4:", "1.2.3.4:0",   "1.2.3.4:x", "1.2.3.4:65536",
		"[fd00::1", "[fd00::1]53", "[1.2.3.4",	"fd00::1]:53",
		"1.2.3.4 ", "1.2.3.4:53 ", "[]:53",	"::g",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct sockaddr_storage a;
		struct err e;
		assert_int_equal(dns_server_parse(wrong[i], 53, &a, &e), -1);
	}
}

static void we_are_not_our_own_server(void **state)
{
	(void)state;
	struct sockaddr_storage self;
	struct dns_server s;
	struct err e;
	assert_int_equal(dns_server_parse("127.0.0.1:53", 53, &self, &e), 0);
	assert_int_equal(dns_server_init(&s, "127.0.0.1", &self, &e), -1);
	assert_non_null(strstr(e.msg, "name another"));
	assert_int_equal(dns_server_init(&s, "127.0.0.1:54", &self, &e), 0);
	assert_non_null(dns_server_get(&s, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_read_and_written),
		cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(we_are_not_our_own_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
