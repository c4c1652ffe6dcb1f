#include "base/buf.h"
#include "unit/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static void bytes_add_up_and_end_in_nul(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, 1000);
	assert_true(str_eq(buf_str(&b), ""));
	assert_int_equal(buf_put(&b, "a\0b", 3), 0);
	assert_int_equal(buf_puts(&b, "cd"), 0);
	assert_int_equal(buf_printf(&b, "%d-%s", 5, "e"), 0);
	assert_int_equal(b.n, 8);
	assert_memory_equal(b.p, "a\0bcd5-e", 9);
}

static void a_buffer_takes_as_much_as_its_ceiling(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, 300);
	for (int i = 0; i < 300; i++)
		assert_int_equal(buf_put(&b, "x", 1), 0);
	assert_int_equal(buf_put(&b, "", 0), 0);
	assert_int_equal(buf_put(&b, "y", 1), BUF_FULL);
	assert_int_equal(buf_puts(&b, "y"), BUF_FULL);
	assert_int_equal(buf_printf(&b, "y"), BUF_FULL);
	assert_int_equal(buf_put_json(&b, STR("")), BUF_FULL);
	assert_int_equal(b.n, 300);
	assert_int_equal(b.p[299], 'x');
	assert_int_equal(b.p[300], '\0');
	assert_true(b.cap <= 301);
}

static void a_ceiling_beyond_all_memory_is_one(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, SIZE_MAX);
	assert_int_equal(buf_put(&b, "", SIZE_MAX), BUF_FULL);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	assert_int_equal(buf_put(&b, "", SIZE_MAX - 3), BUF_FULL);
	assert_int_equal(buf_put(&b, "", SIZE_MAX), BUF_FULL);
	assert_string_equal(b.p, "abc");
}

static void a_refused_append_leaves_an_empty_buffer_empty(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, 2);
	assert_int_equal(buf_puts(&b, "abc"), BUF_FULL);
	assert_int_equal(buf_put_json(&b, STR("a")), BUF_FULL);
	assert_true(str_eq(buf_str(&b), ""));
	assert_int_equal(buf_puts(&b, "ab"), 0);
}

static void the_front_can_be_dropped_and_the_end_cut(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, 100);
	buf_drop(&b, 0);
	buf_cut(&b, 0);
	buf_clear(&b);
	assert_int_equal(buf_puts(&b, "abcdef"), 0);
	buf_drop(&b, 2);
	assert_string_equal(b.p, "cdef");
	buf_cut(&b, 3);
	assert_string_equal(b.p, "cde");
	buf_cut(&b, 9);
	assert_string_equal(b.p, "cde");
	buf_drop(&b, 3);
	assert_string_equal(b.p, "");
	assert_int_equal(buf_puts(&b, "x"), 0);
	assert_string_equal(b.p, "x");
}

static void memory_is_kept_by_clear_and_given_back_by_release(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, 100);
	assert_int_equal(buf_puts(&b, "abc"), 0);
	char *was = b.p;
	buf_clear(&b);
	assert_int_equal(b.n, 0);
	assert_ptr_equal(b.p, was);
	buf_release(&b);
	assert_null(b.p);
	assert_int_equal(buf_puts(&b, "d"), 0);
	assert_string_equal(b.p, "d");
}

static void taking_leaves_the_buffer_empty(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, 100);
	auto_free char *nothing = buf_take(&b);
	assert_string_equal(nothing, "");
	assert_int_equal(buf_puts(&b, "abc"), 0);
	auto_free char *text = buf_take(&b);
	assert_string_equal(text, "abc");
	assert_int_equal(b.n, 0);
	assert_null(b.p);
}

static void text_becomes_a_json_string(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		const char *json;
	} cases[] = {
		{ { "", 0 }, "\"\"" },
		{ { "abc", 3 }, "\"abc\"" },
		{ { "a\"b\\c/", 6 }, "\"a\\\"b\\\\c/\"" },
		{ { "\n\r\t", 3 }, "\"\\n\\r\\t\"" },
		{ { "\0\x1f\x7f", 3 }, "\"\\u0000\\u001f\\u007f\"" },
		{ { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9 },
		  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ { "a\xff z", 4 }, "\"a\xef\xbf\xbd z\"" },
		{ { "\xe2\x82", 2 }, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ { "\xc3", 1 }, "\"\xef\xbf\xbd\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf b;
		buf_init(&b, 100);
		assert_int_equal(buf_put_json(&b, guard_place(cases[i].text)),
				 0);
		assert_string_equal(b.p, cases[i].json);
	}
}

static void a_descriptor_is_read_to_its_end_or_the_ceiling(void **state)
{
	int ends[2];
	struct buf b, small;
	(void)state;
	buf_init(&b, 100);
	buf_init(&small, 4);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "hello", 5), 5);
	close(ends[1]);
	assert_int_equal(buf_read(&b, ends[0]), 0);
	assert_string_equal(b.p, "hello");
	close(ends[0]);
	assert_int_equal(buf_read(&b, ends[0]), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "hello", 5), 5);
	close(ends[1]);
	assert_int_equal(buf_read(&small, ends[0]), BUF_FULL);
	close(ends[0]);
	buf_fini(&b);
	buf_fini(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_add_up_and_end_in_nul),
		cmocka_unit_test(a_buffer_takes_as_much_as_its_ceiling),
		cmocka_unit_test(a_ceiling_beyond_all_memory_is_one),
		cmocka_unit_test(a_refused_append_leaves_an_empty_buffer_empty),
		cmocka_unit_test(the_front_can_be_dropped_and_the_end_cut),
		cmocka_unit_test(
			memory_is_kept_by_clear_and_given_back_by_release),
		cmocka_unit_test(taking_leaves_the_buffer_empty),
		cmocka_unit_test(text_becomes_a_json_string),
		cmocka_unit_test(
			a_descriptor_is_read_to_its_end_or_the_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
