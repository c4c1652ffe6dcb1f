#include "cli/human.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void sizes_are_base_1000_with_two_decimals(void **state)
{
	static const struct {
		double bytes;
		const char *text;
	} cases[] = {
		{ 0, "0.00B" },
		{ 42, "42.00B" },
		{ 999, "999.00B" },
		{ 1000, "1.00kB" },
		{ 19080000, "19.08MB" },
		{ 98362432, "98.36MB" },
		{ 4700000000.0, "4.70GB" },
		{ 1e27, "1000.00YB" },
	};
	char out[HUMAN_BYTES];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		human_size(cases[i].bytes, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void ages_read_as_dockers_do(void **state)
{
	enum { M = 60, H = 3600, D = 24 * H };
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{ -5, "Less than a second" },
		{ 0, "Less than a second" },
		{ 1, "1 second" },
		{ 59, "59 seconds" },
		{ 60, "About a minute" },
		{ 119, "About a minute" },
		{ 120, "2 minutes" },
		{ 59 * M + 59, "59 minutes" },
		{ H, "About an hour" },
		{ H + 29 * M, "About an hour" },
		{ H + 30 * M, "2 hours" },
		{ 47 * H, "47 hours" },
		{ 48 * H, "2 days" },
		{ 13 * D, "13 days" },
		{ 14 * D, "2 weeks" },
		{ 59 * D, "8 weeks" },
		{ 60 * D, "2 months" },
		{ 729 * D, "24 months" },
		{ 730 * D, "2 years" },
	};
	char out[HUMAN_BYTES];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		human_duration(cases[i].seconds, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void gos_durations_are_understood(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} cases[] = {
		{ "0", 0 },	      { "-1", -1 },   { "5m0s", 300 },
		{ "1h0m0s", 3600 },   { "250ms", 0 }, { "1.5h", 5400 },
		{ "1h2m3.9s", 3723 }, { "-1ns", -1 }, { "90\xc2\xb5s", 0 },
		{ "24h", 86400 },
	};
	static const char *const bad[] = {
		"",   "-",     "5",  "h",    ".s",
		"5x", "5m 3s", "m5", "1e9h", "99999999999999999h",
	};
	int64_t s;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(human_parse_duration(str_of(cases[i].text), &s));
		assert_int_equal(s, cases[i].seconds);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(human_parse_duration(str_of(bad[i]), &s));
}

static void times_are_understood_in_every_zone(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-22T15:53:44.684690145Z", 1795362824 },
		{ "2026-11-22T16:53:44.6+01:00", 1795362824 },
		{ "2026-11-22T10:23:44-05:30", 1795362824 },
		{ "0001-01-01T00:00:00Z", -62135596800 },
	};
	static const char *const bad[] = {
		"",
		"2026-11-22",
		"2026-11-22T15:53:44",
		"2026-11-22 15:53:44Z",
		"2026-11-22T15:53:44.Z",
		"2026-11-22T15:53:44+1:00",
		"2O26-11-22T15:53:44Z",
	};
	int64_t s;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(human_parse_time(str_of(cases[i].text), &s));
		assert_int_equal(s, cases[i].seconds);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(human_parse_time(str_of(bad[i]), &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_base_1000_with_two_decimals),
		cmocka_unit_test(ages_read_as_dockers_do),
		cmocka_unit_test(gos_durations_are_understood),
		cmocka_unit_test(times_are_understood_in_every_zone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
