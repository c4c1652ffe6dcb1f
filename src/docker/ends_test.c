#include "docker/ends.h"
#include "docker/setup.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static int read_ends(const char *a, const char *a6, struct ends *out,
		     struct err *e)
{
	struct setup s = { .address = (char *)a, .address6 = (char *)a6 };
	return ends_read(&s, out, e);
}

static void the_outer_end_is_the_other_half_of_the_pair(void **state)
{
	struct ends ends;
	struct err e;
	(void)state;
	assert_int_equal(
		read_ends("169.254.255.81", "fd6d:6f64:656c::80", &ends, &e),
		0);
	assert_string_equal(ends.outer_text, "169.254.255.80");
	assert_string_equal(ends.outer6_text, "fd6d:6f64:656c::1");
	assert_int_equal(read_ends("10.1.2.4", "off", &ends, &e), 0);
	assert_string_equal(ends.outer_text, "10.1.2.5");
	assert_false(ends.has6);
}

static void an_address_that_cannot_serve_is_named(void **state)
{
	static const char *const bad[] = { "",		"x",	   "1.2.3",
					   "127.0.0.1", "0.0.0.1", "224.0.0.1",
					   "255.0.0.1", "::1" };
	static const char *const bad6[] = {
		"", "x", "::1", "fe80::1", "2001:db8::80", "fd00::1", "1.2.3.4"
	};
	struct ends ends;
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(read_ends(bad[i], "off", &ends, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad6); i++) {
		assert_int_equal(
			read_ends("169.254.255.81", bad6[i], &ends, &e), -1);
		assert_non_null(strstr(e.msg, "address6"));
	}
}

static void only_the_outer_end_is_the_outer_end(void **state)
{
	struct ends ends;
	struct err e;
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	(void)state;
	assert_int_equal(
		read_ends("169.254.255.81", "fd6d:6f64:656c::80", &ends, &e),
		0);
	in.sin_addr = ends.outer;
	in6.sin6_addr = ends.outer6;
	assert_true(ends_is_outer(&ends, (struct sockaddr *)&in));
	assert_true(ends_is_outer(&ends, (struct sockaddr *)&in6));
	in.sin_addr = ends.inner;
	in6.sin6_addr = ends.inner6;
	assert_false(ends_is_outer(&ends, (struct sockaddr *)&in));
	assert_false(ends_is_outer(&ends, (struct sockaddr *)&in6));
	/* Without IPv6 the empty address is nobody's. */
	assert_int_equal(read_ends("169.254.255.81", "off", &ends, &e), 0);
	memset(&in6.sin6_addr, 0, sizeof in6.sin6_addr);
	assert_false(ends_is_outer(&ends, (struct sockaddr *)&in6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_outer_end_is_the_other_half_of_the_pair),
		cmocka_unit_test(an_address_that_cannot_serve_is_named),
		cmocka_unit_test(only_the_outer_end_is_the_outer_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
