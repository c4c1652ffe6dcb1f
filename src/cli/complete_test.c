#include "cli/complete.h"
#include "cli/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void models(struct buf *out)
{
	assert_int_equal(buf_puts(out, "smollm2\nsmollm2:q4\nqwen3\n"), 0);
}

/* Completes words given as "run smo", the last one being the open one. */
static void expect(const char *typed, bool with_help, const char *want)
{
	char text[100], *words[10];
	int n = 0;
	auto_buf struct buf out;
	buf_init(&out, 10000);
	assert_true(strlen(typed) < sizeof text);
	memcpy(text, typed, strlen(typed) + 1);
	for (char *p = text, *word; (word = strsep(&p, " "));)
		words[n++] = word;
	assert_int_equal(complete_put(n, words, with_help, models, &out), 0);
	assert_string_equal(out.p, want);
}

static void commands_come_with_their_help(void **state)
{
	(void)state;
	expect("ru", true, "run\tAsk a model, or chat with it\n:4\n");
	expect("r", false, "requests\nrm\nrun\n:4\n");
	expect("nope", false, ":4\n");
	expect("nope x", false, ":4\n");
}

static void every_command_is_offered(void **state)
{
	auto_buf struct buf want;
	(void)state;
	buf_init(&want, 10000);
	for (const struct cmd *c = commands_table; c->name; c++)
		assert_int_equal(buf_printf(&want, "%s\n", c->name), 0);
	assert_int_equal(buf_puts(&want, ":4\n"), 0);
	expect("", false, want.p);
}

static void models_are_offered_where_one_is_meant(void **state)
{
	(void)state;
	expect("run smo", false, "smollm2\nsmollm2:q4\n:4\n");
	expect("run smollm2 smo", false, ":4\n");
	expect("run --seed 7 q", false, "qwen3\n:4\n");
	expect("rm smollm2 q", false, "qwen3\n:4\n");
	expect("ls q", false, "qwen3\n:4\n");
	expect("ps ", false, ":4\n");
}

static void flags_are_offered_after_a_dash(void **state)
{
	(void)state;
	expect("rm --f", true, "--force\tRemove it with all its names\n:4\n");
	expect("ps -", false, "--help\n:4\n");
}

static void the_value_of_a_flag_is_a_file_or_nothing(void **state)
{
	(void)state;
	expect("package --gguf ", false, ":0\n");
	expect("package -l ", false, ":0\n");
	expect("run --seed ", false, ":4\n");
	expect("package --gguf x --license ", false, ":0\n");
}

static void some_arguments_are_words_that_we_know(void **state)
{
	(void)state;
	expect("completion ", false, "bash\nzsh\nfish\n:4\n");
	expect("help ta", false, "tag\n:4\n");
}

static void there_is_a_script_for_each_shell(void **state)
{
	(void)state;
	assert_non_null(complete_script("bash"));
	assert_non_null(complete_script("zsh"));
	assert_non_null(complete_script("fish"));
	assert_null(complete_script("csh"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_come_with_their_help),
		cmocka_unit_test(every_command_is_offered),
		cmocka_unit_test(models_are_offered_where_one_is_meant),
		cmocka_unit_test(flags_are_offered_after_a_dash),
		cmocka_unit_test(the_value_of_a_flag_is_a_file_or_nothing),
		cmocka_unit_test(some_arguments_are_words_that_we_know),
		cmocka_unit_test(there_is_a_script_for_each_shell),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
