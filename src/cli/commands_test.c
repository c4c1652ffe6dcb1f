#include "cli/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_message(const char *typed, const char *says)
{
	const struct cmd *c;
	struct err e;
	assert_int_equal(commands_find(typed, &c, &e), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_non_null(strstr(e.msg, says));
}

static void names_and_aliases_find_their_command(void **state)
{
	const struct cmd *a, *b;
	struct err e;
	(void)state;
	assert_int_equal(commands_find("list", &a, &e), 0);
	assert_int_equal(commands_find("ls", &b, &e), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(commands_find("stop", &a, &e), 0);
	assert_string_equal(a->name, "unload");
}

static void a_slip_of_the_finger_is_told_the_nearest(void **state)
{
	(void)state;
	expect_message("lst", "did you mean 'list' or 'ls'?");
	expect_message("inspct", "did you mean 'inspect'?");
	expect_message("rnu", "'run'");
	expect_message("frobnicate", "'docker model help' lists them");
	expect_message("", "'docker model help' lists them");
}

static void every_row_is_complete(void **state)
{
	auto_buf struct buf out;
	const struct cmd *before = NULL;
	(void)state;
	buf_init(&out, 100000);
	for (const struct cmd *c = commands_table; c->name; c++) {
		assert_non_null(c->args);
		assert_non_null(c->help);
		assert_non_null(c->run);
		assert_true(c->max == CMD_MANY || c->min <= c->max);
		assert_true(!before || strcmp(before->name, c->name) < 0);
		for (const struct cmd_flag *f = c->flags; f->name; f++) {
			assert_true((f->kind == CMD_BOOL) == !f->value);
			assert_true(!f[1].name ||
				    strcmp(f->name, f[1].name) < 0);
		}
		assert_int_equal(cmd_put_help(c, &out), 0);
		before = c;
	}
	assert_int_equal(commands_put_help(&out), 0);
}

/* Help is read on terminals of 80 columns. */
static void no_line_of_help_is_too_wide(void **state)
{
	auto_buf struct buf out;
	(void)state;
	buf_init(&out, 100000);
	for (const struct cmd *c = commands_table; c->name; c++)
		assert_int_equal(cmd_put_help(c, &out), 0);
	assert_int_equal(commands_put_help(&out), 0);
	struct str rest = buf_str(&out), line;
	while (str_split(&rest, '\n', &line))
		assert_true(line.n <= 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_aliases_find_their_command),
		cmocka_unit_test(a_slip_of_the_finger_is_told_the_nearest),
		cmocka_unit_test(every_row_is_complete),
		cmocka_unit_test(no_line_of_help_is_too_wide),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
