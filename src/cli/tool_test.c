#include "cli/tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#define SH(script) ((const char *const[]){ "sh", "-c", script, NULL })
#define LIMIT_MS 20000

static void output_of_both_streams_is_kept(void **state)
{
	auto_buf struct buf out;
	struct err e;
	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(
		tool_run(SH("echo one; echo two >&2"), LIMIT_MS, &out, &e), 0);
	assert_non_null(strstr(out.p, "one\n"));
	assert_non_null(strstr(out.p, "two\n"));
}

static void a_status_that_is_not_0_is_an_outcome(void **state)
{
	auto_buf struct buf out;
	struct err e;
	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(tool_run(SH("echo why; exit 3"), LIMIT_MS, &out, &e),
			 TOOL_FAILED);
	assert_string_equal(out.p, "why\n");
}

static void what_is_not_there_is_absent(void **state)
{
	const char *const name[] = { "no-such-program-here", NULL };
	const char *const path[] = { "/no/such/program", NULL };
	struct err e;
	(void)state;
	assert_int_equal(tool_run(name, LIMIT_MS, NULL, &e), TOOL_ABSENT);
	assert_int_equal(tool_run(path, LIMIT_MS, NULL, &e), TOOL_ABSENT);
}

static void one_that_does_not_end_is_ended(void **state)
{
	struct err e;
	time_t start = time(NULL);
	(void)state;
	assert_int_equal(tool_run(SH("exec sleep 1000"), 100, NULL, &e), -1);
	assert_non_null(strstr(e.msg, "did not end in time"));
	assert_true(time(NULL) - start < 20);
}

static void a_signal_is_an_error(void **state)
{
	struct err e;
	(void)state;
	assert_int_equal(tool_run(SH("kill -9 $$"), LIMIT_MS, NULL, &e), -1);
	assert_non_null(strstr(e.msg, "signal 9"));
}

static void output_has_a_ceiling(void **state)
{
	auto_buf struct buf out;
	struct err e;
	(void)state;
	buf_init(&out, 100);
	assert_int_equal(tool_run(SH("seq 100000"), LIMIT_MS, &out, &e), 0);
	assert_true(out.n <= 100 && str_starts(buf_str(&out), "1\n2\n"));
}

static void the_last_line_that_says_something_is_found(void **state)
{
	(void)state;
	assert_true(str_eq(tool_last_line(STR("a\n b \n\n  \n")), "b"));
	assert_true(str_eq(tool_last_line(STR("one\r\ntwo\r\n")), "two"));
	assert_true(str_eq(tool_last_line(STR("x")), "x"));
	assert_true(str_eq(tool_last_line(STR("")), ""));
	assert_true(str_eq(tool_last_line(STR("\r\n\n")), ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_of_both_streams_is_kept),
		cmocka_unit_test(a_status_that_is_not_0_is_an_outcome),
		cmocka_unit_test(what_is_not_there_is_absent),
		cmocka_unit_test(one_that_does_not_end_is_ended),
		cmocka_unit_test(a_signal_is_an_error),
		cmocka_unit_test(output_has_a_ceiling),
		cmocka_unit_test(the_last_line_that_says_something_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
