#include "llama/tool_names.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void names_that_functions_have_are_taken(void **state)
{
	static const char *const names[] = { "get_weather", "get.weather2",
					     "a",	    "a-b",
					     "mcp__x-y",    "日本" };
	auto_json *seen = json_object();
	struct err e;
	(void)state;
	for (int twice = 0; twice < 2; twice++)
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (tool_names_check(seen, str_of(names[i]), &e))
				fail_msg("%s: %s", names[i], e.msg);
}

static void names_that_would_be_one_rule_are_refused(void **state)
{
	static const char *const rows[][2] = { { "a_b", "a-b" },
					       { "a.b", "a:b" },
					       { "a__b", "a.b" },
					       { "名前", "値段" } };
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json *seen = json_object();
		assert_int_equal(tool_names_check(seen, str_of(rows[i][0]), &e),
				 0);
		assert_int_equal(tool_names_check(seen, str_of(rows[i][1]), &e),
				 -1);
		assert_string_equal(e.param, "tools");
		assert_non_null(strstr(e.msg, rows[i][0]));
		assert_non_null(strstr(e.msg, rows[i][1]));
	}
}

static void names_have_a_ceiling_and_no_quotes(void **state)
{
	static const char *const bad[] = {
		"", "a b", "a\"b", "<a>", "{}", "a\n"
	};
	char name[LIMIT_TOOL_NAME_BYTES + 2] = { 0 };
	auto_json *seen = json_object();
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tool_names_check(seen, str_of(bad[i]), &e),
				 -1);
	memset(name, 'x', LIMIT_TOOL_NAME_BYTES);
	assert_int_equal(tool_names_check(seen, str_of(name), &e), 0);
	name[LIMIT_TOOL_NAME_BYTES] = 'x';
	assert_int_equal(tool_names_check(seen, str_of(name), &e), -1);
	assert_non_null(strstr(e.msg, "257 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_functions_have_are_taken),
		cmocka_unit_test(names_that_would_be_one_rule_are_refused),
		cmocka_unit_test(names_have_a_ceiling_and_no_quotes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
