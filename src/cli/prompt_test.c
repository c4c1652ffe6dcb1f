#include "cli/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static enum prompt_meaning type(struct prompt *p, const char *line)
{
	return prompt_line(p, str_of(line), false);
}

static void a_line_is_a_message(void **state)
{
	struct prompt p;
	(void)state;
	prompt_init(&p);
	assert_int_equal(type(&p, "hello"), PROMPT_SEND);
	assert_string_equal(prompt_text(&p), "hello");
	assert_int_equal(type(&p, "  again"), PROMPT_SEND);
	assert_string_equal(prompt_text(&p), "  again");
	assert_int_equal(type(&p, ""), PROMPT_NOTHING);
	assert_int_equal(type(&p, " \t "), PROMPT_NOTHING);
	prompt_fini(&p);
}

static void a_slash_begins_a_command(void **state)
{
	static const struct {
		const char *line;
		enum prompt_meaning meaning;
		const char *text;
	} cases[] = {
		{ "/bye", PROMPT_QUIT, "" },
		{ " /exit ", PROMPT_QUIT, "" },
		{ "/?", PROMPT_HELP, "" },
		{ "/help", PROMPT_HELP, "" },
		{ "/? shortcuts", PROMPT_HELP, "" },
		{ "/clear", PROMPT_CLEAR, "" },
		{ "/set system Be  brief.", PROMPT_SYSTEM, "Be  brief." },
		{ "/set system", PROMPT_SYSTEM, "" },
		{ "/set", PROMPT_UNKNOWN, "/set" },
		{ "/set num_ctx 4", PROMPT_UNKNOWN, "/set num_ctx 4" },
		{ "/frob it", PROMPT_UNKNOWN, "/frob" },
		{ "/byebye", PROMPT_UNKNOWN, "/byebye" },
		{ "/", PROMPT_UNKNOWN, "/" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct prompt p;
		prompt_init(&p);
		assert_int_equal(type(&p, cases[i].line), cases[i].meaning);
		assert_string_equal(prompt_text(&p), cases[i].text);
		prompt_fini(&p);
	}
}

static void quotes_hold_several_lines(void **state)
{
	struct prompt p;
	(void)state;
	prompt_init(&p);
	assert_int_equal(type(&p, "\"\"\"one"), PROMPT_MORE);
	assert_int_equal(type(&p, "/bye"), PROMPT_MORE);
	assert_int_equal(type(&p, ""), PROMPT_MORE);
	assert_int_equal(type(&p, "end\"\"\" rest"), PROMPT_SEND);
	assert_string_equal(prompt_text(&p), "one\n/bye\n\nend");
	assert_int_equal(type(&p, "\"\"\"at once\"\"\""), PROMPT_SEND);
	assert_string_equal(prompt_text(&p), "at once");
	assert_int_equal(type(&p, "/bye"), PROMPT_QUIT);
	prompt_fini(&p);
}

static void lines_that_come_together_are_one_message(void **state)
{
	struct prompt p;
	(void)state;
	prompt_init(&p);
	assert_int_equal(prompt_line(&p, STR("int main()"), true), PROMPT_MORE);
	assert_int_equal(prompt_line(&p, STR(""), true), PROMPT_MORE);
	assert_int_equal(prompt_line(&p, STR("/* ... */"), true), PROMPT_MORE);
	assert_int_equal(prompt_line(&p, STR("}"), false), PROMPT_SEND);
	assert_string_equal(prompt_text(&p), "int main()\n\n/* ... */\n}");
	assert_int_equal(type(&p, "/bye"), PROMPT_QUIT);
	prompt_fini(&p);
}

static void a_paste_may_begin_with_empty_lines_or_a_command(void **state)
{
	struct prompt p;
	(void)state;
	prompt_init(&p);
	assert_int_equal(prompt_line(&p, STR(""), true), PROMPT_NOTHING);
	assert_int_equal(prompt_line(&p, STR("/clear"), true), PROMPT_CLEAR);
	prompt_fini(&p);
}

static void a_half_typed_message_can_be_dropped(void **state)
{
	struct prompt p;
	(void)state;
	prompt_init(&p);
	assert_false(prompt_cancel(&p));
	assert_int_equal(type(&p, "\"\"\"one"), PROMPT_MORE);
	assert_true(prompt_cancel(&p));
	assert_int_equal(type(&p, "two"), PROMPT_SEND);
	assert_string_equal(prompt_text(&p), "two");
	prompt_fini(&p);
}

static void a_message_beyond_the_ceiling_is_told_and_dropped(void **state)
{
	struct prompt p;
	(void)state;
	prompt_init(&p);
	p.text.max = 10;
	assert_int_equal(type(&p, "0123456789"), PROMPT_SEND);
	assert_int_equal(type(&p, "01234567890"), PROMPT_TOO_LONG);
	assert_int_equal(type(&p, "\"\"\"01234567"), PROMPT_MORE);
	assert_int_equal(type(&p, "89"), PROMPT_TOO_LONG);
	assert_int_equal(type(&p, "/bye"), PROMPT_QUIT);
	prompt_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_a_message),
		cmocka_unit_test(a_slash_begins_a_command),
		cmocka_unit_test(quotes_hold_several_lines),
		cmocka_unit_test(lines_that_come_together_are_one_message),
		cmocka_unit_test(
			a_paste_may_begin_with_empty_lines_or_a_command),
		cmocka_unit_test(a_half_typed_message_can_be_dropped),
		cmocka_unit_test(
			a_message_beyond_the_ceiling_is_told_and_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
