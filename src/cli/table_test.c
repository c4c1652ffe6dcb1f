#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static const char *const titles[] = { "TYPE", "SIZE", NULL };

static void expect(const struct table *t, const char *want)
{
	auto_buf struct buf out;
	buf_init(&out, 1000);
	assert_int_equal(table_render(t, &out), 0);
	assert_string_equal(out.p, want);
}

static void every_cell_is_followed_by_two_spaces(void **state)
{
	auto_(table) t = table_new(titles);
	(void)state;
	table_put(t, STR("Models"));
	table_put(t, STR("42.00B"));
	table_put(t, STR("Inference engine"));
	table_put(t, STR("19.08MB"));
	expect(t, "TYPE              SIZE     \n"
		  "Models            42.00B   \n"
		  "Inference engine  19.08MB  \n");
}

static void the_header_is_shown_above_nothing(void **state)
{
	auto_(table) t = table_new(titles);
	(void)state;
	expect(t, "TYPE  SIZE  \n");
}

static void columns_are_counted_in_characters(void **state)
{
	auto_(table) t = table_new(titles);
	(void)state;
	table_put(t, STR("gr\xc3\xbc\xc3\x9f"));
	table_put(t, STR("1"));
	expect(t, "TYPE  SIZE  \n"
		  "gr\xc3\xbc\xc3\x9f  1     \n");
}

static void a_cell_cannot_move_the_cursor(void **state)
{
	auto_(table) t = table_new(titles);
	(void)state;
	table_put(t, STR("a\x1b[2J\x7f\xc2\x9b"
			 "b"));
	table_put(t, STR("1\n2\t3\r"));
	expect(t, "TYPE   SIZE   \n"
		  "a[2Jb  1 2 3  \n");
}

static void a_full_buffer_is_told(void **state)
{
	auto_(table) t = table_new(titles);
	auto_buf struct buf out;
	(void)state;
	buf_init(&out, 12);
	assert_int_equal(table_render(t, &out), BUF_FULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_followed_by_two_spaces),
		cmocka_unit_test(the_header_is_shown_above_nothing),
		cmocka_unit_test(columns_are_counted_in_characters),
		cmocka_unit_test(a_cell_cannot_move_the_cursor),
		cmocka_unit_test(a_full_buffer_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
