#include "cli/cmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static const struct cmd_flag flags[] = {
	{ "force", 'f', CMD_BOOL, NULL, "Do it" },
	{ "quiet", 'q', CMD_BOOL, NULL, "Say less" },
	{ "license", 'l', CMD_TEXT, "PATH", "A license" },
	{ "size", 'n', CMD_INT, "N", "How many" },
	{ "heat", 0, CMD_NUMBER, "F", "How hot" },
	{ 0 },
};
static const struct cmd frob = {
	.name = "frob",
	.alias = "fr",
	.args = "MODEL [WORD]",
	.help = "Frobnicate a model",
	.min = 1,
	.max = 2,
	.flags = flags,
};

/* Parses "a b c", cut at the spaces. */
static int parse(const char *typed, struct cmd_line *out, struct err *e)
{
	static char text[200];
	static char *argv[20];
	int argc = 0;
	snprintf(text, sizeof text, "%s", typed);
	for (char *p = text, *word; (word = strsep(&p, " "));)
		if (*word)
			argv[argc++] = word;
	return cmd_parse(&frob, argc, argv, out, e);
}

static void flags_and_arguments_come_in_any_order(void **state)
{
	static const char *const typed[] = {
		"m w -f --size 3",	"--size=3 -f m w",
		"-f m -n 3 w",		"m -fn3 w",
		"-n=3 m w --force",	"-f -n 3 -- m w",
		"m --force=true w -n3",
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
		struct cmd_line in;
		assert_int_equal(parse(typed[i], &in, &e), 0);
		assert_int_equal(in.n_args, 2);
		assert_string_equal(in.args[0], "m");
		assert_string_equal(in.args[1], "w");
		assert_true(cmd_is_set(&in, "force"));
		assert_false(cmd_is_set(&in, "quiet"));
		assert_string_equal(cmd_text(&in, "size"), "3");
		assert_null(cmd_text(&in, "license"));
		cmd_line_fini(&in);
	}
}

static void the_last_value_counts_and_all_are_kept(void **state)
{
	struct cmd_line in;
	struct err e;
	(void)state;
	assert_int_equal(parse("m -l a --license b -f --force=false", &in, &e),
			 0);
	assert_string_equal(cmd_text(&in, "license"), "b");
	assert_string_equal(cmd_nth(&in, "license", 0), "a");
	assert_string_equal(cmd_nth(&in, "license", 1), "b");
	assert_null(cmd_nth(&in, "license", 2));
	assert_false(cmd_is_set(&in, "force"));
	cmd_line_fini(&in);
}

static void after_two_dashes_nothing_is_a_flag(void **state)
{
	struct cmd_line in;
	struct err e;
	(void)state;
	assert_int_equal(parse("m -- --force", &in, &e), 0);
	assert_string_equal(in.args[1], "--force");
	cmd_line_fini(&in);
	assert_int_equal(parse("m -", &in, &e), 0);
	assert_string_equal(in.args[1], "-");
	cmd_line_fini(&in);
}

static void wrong_usage_says_what_and_where_the_help_is(void **state)
{
	static const struct {
		const char *typed, *says;
	} cases[] = {
		{ "", "'docker model frob' needs at least 1 argument "
		      "(MODEL [WORD]), not 0" },
		{ "a b c", "needs at most 2 arguments" },
		{ "m --frce", "there is no flag --frce" },
		{ "m -x", "there is no flag -x" },
		{ "m --size", "--size needs a value" },
		{ "m -n", "-n needs a value" },
		{ "m -n x", "--size needs a whole number, not 'x'" },
		{ "m -n 1.5", "--size needs a whole number, not '1.5'" },
		{ "m -n 99999999999999999999", "needs a whole number" },
		{ "m --size=", "needs a whole number, not ''" },
		{ "m --heat hot", "--heat needs a number, not 'hot'" },
		{ "m --heat nan", "--heat needs a number, not 'nan'" },
		{ "m --force=maybe", "--force is on or off" },
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cmd_line in;
		assert_int_equal(parse(cases[i].typed, &in, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
		assert_non_null(strstr(e.msg, cases[i].says));
		assert_non_null(strstr(e.msg, "'docker model frob --help'"));
		cmd_line_fini(&in);
	}
}

static void help_wins_over_everything_after_it(void **state)
{
	static const char *const typed[] = { "--help", "-h", "-fh --nonsense" };
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
		struct cmd_line in;
		assert_int_equal(parse(typed[i], &in, &e), 0);
		assert_true(in.wants_help);
		cmd_line_fini(&in);
	}
}

static void words_are_joined_as_typed(void **state)
{
	struct cmd_line in;
	struct err e;
	(void)state;
	assert_int_equal(parse("m hello", &in, &e), 0);
	auto_free char *both = cmd_join(&in, 0), *none = cmd_join(&in, 2);
	assert_string_equal(both, "m hello");
	assert_string_equal(none, "");
	cmd_line_fini(&in);
}

static void help_shows_every_flag(void **state)
{
	auto_buf struct buf out;
	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(cmd_put_help(&frob, &out), 0);
	assert_string_equal(out.p,
			    "Usage:  docker model frob [OPTIONS] MODEL [WORD]\n"
			    "\n"
			    "Frobnicate a model\n"
			    "\n"
			    "Aliases:\n"
			    "  docker model frob, docker model fr\n"
			    "\n"
			    "Options:\n"
			    "  -f, --force         Do it\n"
			    "  -q, --quiet         Say less\n"
			    "  -l, --license PATH  A license\n"
			    "  -n, --size N        How many\n"
			    "      --heat F        How hot\n"
			    "  -h, --help          Show this page\n");
}

static void distance_counts_edits(void **state)
{
	(void)state;
	assert_int_equal(cmd_distance("list", "list"), 0);
	assert_int_equal(cmd_distance("lst", "list"), 1);
	assert_int_equal(cmd_distance("lits", "list"), 2);
	assert_int_equal(cmd_distance("", "rm"), 2);
	assert_int_equal(cmd_distance("kitten", "sitting"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_and_arguments_come_in_any_order),
		cmocka_unit_test(the_last_value_counts_and_all_are_kept),
		cmocka_unit_test(after_two_dashes_nothing_is_a_flag),
		cmocka_unit_test(wrong_usage_says_what_and_where_the_help_is),
		cmocka_unit_test(help_wins_over_everything_after_it),
		cmocka_unit_test(words_are_joined_as_typed),
		cmocka_unit_test(help_shows_every_flag),
		cmocka_unit_test(distance_counts_edits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
