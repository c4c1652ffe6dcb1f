#include "cli/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_clean(struct str s, const char *want)
{
	auto_buf struct buf out;
	buf_init(&out, 1000);
	assert_int_equal(term_clean(s, &out), 0);
	assert_int_equal(out.n, strlen(want));
	assert_memory_equal(out.p, want, out.n);
}

static void ordinary_text_is_left_alone(void **state)
{
	(void)state;
	expect_clean(STR(""), "");
	expect_clean((struct str){ NULL, 0 }, "");
	expect_clean(STR("a\n\tb"), "a\n\tb");
	expect_clean(STR("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
		     "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	/* U+00A0, the first one after C1. */
	expect_clean(STR("\xc2\xa0"), "\xc2\xa0");
}

static void control_characters_are_taken_out(void **state)
{
	(void)state;
	expect_clean(STR("\x1b]0;title\x07"), "]0;title");
	expect_clean(STR("a\r\nb\x08"), "a\nb");
	expect_clean(STR("\xc2\x9b"
			 "31mred\xc2\x80"),
		     "31mred");
	expect_clean(STR("\x7f\0x"), "x");
	expect_clean(STR("\xc2"), "\xc2");
}

static void a_cell_is_one_line(void **state)
{
	(void)state;
	auto_free char *a = term_cell(STR("a\nb\tc"));
	auto_free char *empty = term_cell(STR(""));
	assert_string_equal(a, "a b c");
	assert_string_equal(empty, "");
}

static void width_counts_characters(void **state)
{
	(void)state;
	assert_int_equal(term_width(STR("abc")), 3);
	assert_int_equal(term_width(STR("gr\xc3\xbc\xc3\x9f")), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_text_is_left_alone),
		cmocka_unit_test(control_characters_are_taken_out),
		cmocka_unit_test(a_cell_is_one_line),
		cmocka_unit_test(width_counts_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
