#include "oci/push_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void what_registries_say_is_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0-99", 100 },       { "0-0", 0 },
		{ "bytes=0-99", 100 }, { "bytes 0-67108863", 67108864 },
		{ " 0-1 ", 2 },	       { "0-18446744073709551614", UINT64_MAX },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		uint64_t bytes = 7;
		assert_true(push_range_parse(str_of(good[i].text), &bytes));
		assert_int_equal(bytes, good[i].bytes);
	}
}

static void what_says_nothing_is_told(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"0-",
		"-",
		"1-99",
		"0--1",
		"0-9x",
		"0-9-10",
		"bytes",
		"bytes=",
		"0-18446744073709551615",
		"0-99999999999999999999",
		"\x00",
		"a0-99",
		"0- 99",
	};
	uint64_t bytes = 7;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(push_range_parse(str_of(bad[i]), &bytes));
	assert_false(push_range_parse((struct str){ NULL, 0 }, &bytes));
	assert_int_equal(bytes, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_registries_say_is_read),
		cmocka_unit_test(what_says_nothing_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
