#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void an_error_has_its_code_and_words(void **state)
{
	(void)state;
	struct err e = { .param = "old" };
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "no %s", "model"), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.msg, "no model");
	assert_string_equal(e.param, "");
}

static void a_wrong_field_is_named(void **state)
{
	(void)state;
	struct err e;
	assert_int_equal(err_field(&e, "top_p", "'%s' is bad", "top_p"), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.param, "top_p");
	assert_int_equal(
		err_field(&e, "a_name_that_is_much_too_long_for_it", "x"), -1);
	assert_string_equal(e.param, "a_name_that_is_much_too_long_fo");
}

static void a_failed_call_says_what_the_system_said(void **state)
{
	(void)state;
	struct err e;
	errno = ENOENT;
	assert_int_equal(err_sys(&e, "open %s", "/x"), -1);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_string_equal(e.msg, "open /x: No such file or directory");
}

static void wrapping_puts_the_outer_words_first(void **state)
{
	(void)state;
	struct err e;
	err_field(&e, "model", "it is gone");
	assert_int_equal(err_wrap(&e, "load %s", "ai/x"), -1);
	assert_string_equal(e.msg, "load ai/x: it is gone");
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.param, "model");
}

static void a_long_message_is_cut_between_characters(void **state)
{
	(void)state;
	/* Each character takes 4, 3 or 2 bytes, at each offset. */
	static const char *const characters[] = { "\xf0\x9f\x98\x80",
						  "\xe2\x82\xac", "\xc3\xa4" };
	for (size_t i = 0; i < ARRAY_LEN(characters); i++) {
		size_t len = strlen(characters[i]);
		for (size_t offset = 0; offset < len; offset++) {
			struct err e;
			char text[sizeof e.msg * 2] = "";
			memset(text, 'x', offset);
			for (size_t n = offset; n + len < sizeof text; n += len)
				memcpy(text + n, characters[i], len);
			err_set(&e, ERR_INTERNAL, "%s", text);
			size_t n = strlen(e.msg);
			assert_int_equal((n - offset) % len, 0);
			assert_true(n + len > sizeof e.msg - 1);
			err_wrap(&e, "y");
			n = strlen(e.msg);
			assert_int_equal((n - offset - 3) % len, 0);
		}
	}
}

static void a_short_message_is_left_whole(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "a", "\xc3\xa4",
					     "a\xf0\x9f\x98\x80" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err e;
		err_set(&e, ERR_INTERNAL, "%s", texts[i]);
		assert_string_equal(e.msg, texts[i]);
	}
}

static void of_a_path_only_the_last_part_is_left(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "open /a/b/c: No such file", "open c: No such file" },
		{ "/a/b", "b" },
		{ "/a/b/", "b/" },
		{ "/a", "a" },
		{ "at '/my models/x' and (/a/b)", "at 'x' and (b)" },
		{ "model=/a/b, unix:/run/s.sock", "model=b, unix:s.sock" },
		{ "rename /a/b to /c/d", "rename b to d" },
		/* '/' alone is no path of anything. */
		{ "a ',' or '/' was expected /",
		  "a ',' or '/' was expected /" },
		{ "'/", "'/" },
		{ "ai/smollm2:1 at http://h:1/v1", "ai/smollm2:1 at "
						   "http://h:1/v1" },
		{ "", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e;
		err_set(&e, ERR_SYSTEM, "%s", cases[i][0]);
		bool found = err_hide_paths(&e);
		assert_string_equal(e.msg, cases[i][1]);
		assert_int_equal(found, strcmp(cases[i][0], cases[i][1]) != 0);
	}
}

static void every_code_has_its_row(void **state)
{
	(void)state;
#define ERR(name, status, type, exit_status)                   \
	assert_int_equal(err_http_status(ERR_##name), status); \
	assert_string_equal(err_api_type(ERR_##name), type);   \
	assert_int_equal(err_exit_status(ERR_##name), exit_status);
#include "base/err_codes.h"
#undef ERR
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_has_its_code_and_words),
		cmocka_unit_test(a_wrong_field_is_named),
		cmocka_unit_test(a_failed_call_says_what_the_system_said),
		cmocka_unit_test(wrapping_puts_the_outer_words_first),
		cmocka_unit_test(a_long_message_is_cut_between_characters),
		cmocka_unit_test(a_short_message_is_left_whole),
		cmocka_unit_test(of_a_path_only_the_last_part_is_left),
		cmocka_unit_test(every_code_has_its_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
