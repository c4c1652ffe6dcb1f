#include "engine/shellwords.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static int add(void *ctx, struct str word, struct err *e)
{
	struct buf *out = ctx;
	(void)e;
	return buf_printf(out, "[%.*s]", STR_ARG(word)) ? -1 : 0;
}

static void words_are_those_of_a_shell(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "  \t\n ", "" },
		{ "--temp 0.5", "[--temp][0.5]" },
		{ " a  b ", "[a][b]" },
		{ "'a b' c", "[a b][c]" },
		{ "\"a b\"c", "[a bc]" },
		{ "a\\ b", "[a b]" },
		{ "''", "[]" },
		{ "'\\'", "[\\]" },
		{ "\"\\\"x\\n\"", "[\"x\\n]" },
		{ "\\", "[\\]" },
		{ "$HOME *", "[$HOME][*]" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf struct buf out;
		struct err e;
		buf_init(&out, 1000);
		assert_int_equal(
			shellwords_each(str_of(rows[i][0]), add, &out, &e), 0);
		assert_int_equal(buf_str(&out).n, strlen(rows[i][1]));
		assert_memory_equal(buf_str(&out).p, rows[i][1],
				    strlen(rows[i][1]));
	}
}

static void a_quote_must_be_closed(void **state)
{
	static const char *const rows[] = { "'", "\"", "a 'b", "\"a\\\"" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf struct buf out;
		struct err e;
		buf_init(&out, 1000);
		assert_int_equal(
			shellwords_each(str_of(rows[i]), add, &out, &e), -1);
		assert_non_null(strstr(e.msg, "not closed"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_those_of_a_shell),
		cmocka_unit_test(a_quote_must_be_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
