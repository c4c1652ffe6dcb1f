#include "base/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void what_people_write_is_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "5m", 300000 }, { "1h30m", 5400000 }, { "1.5s", 1500 },
		{ "0", 0 },	  { "-0", 0 },		{ "0s", 0 },
		{ "-1", -1 },	  { "-1m", -60000 },	{ "250ms", 250 },
		{ "-1ns", -1 },	  { "999ns", 0 },	{ "1h0m0s", 3600000 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = 12345;
		assert_true(duration_parse(str_of(rows[i].text), &ms));
		assert_int_equal(ms, rows[i].ms);
	}
}

static void other_texts_are_no_durations(void **state)
{
	static const char *const rows[] = { "",
					    "5",
					    "m",
					    "-",
					    "5 m",
					    "5x",
					    "1h5",
					    ".m",
					    "1..5s",
					    "1e3s",
					    "-2",
					    "1e9h",
					    "99999999999999h" };
	int64_t ms;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_false(duration_parse(str_of(rows[i]), &ms));
}

static void it_is_printed_as_go_does(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0s" },
		{ 250, "250ms" },
		{ 1500, "1.5s" },
		{ 60000, "1m0s" },
		{ 300000, "5m0s" },
		{ 3600000, "1h0m0s" },
		{ 5400000, "1h30m0s" },
		{ -5, "-1" },
		{ 61001, "1m1.001s" },
	};
	char text[DURATION_TEXT_BYTES];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(duration_text(rows[i].ms, text),
				    rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_people_write_is_read),
		cmocka_unit_test(other_texts_are_no_durations),
		cmocka_unit_test(it_is_printed_as_go_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
