#include "base/str.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void assert_str(struct str s, const char *wanted)
{
	if (!str_eq(s, wanted))
		fail_msg("'%.*s', not '%s'", STR_ARG(s), wanted);
}

static void comparing_looks_at_all_the_bytes(void **state)
{
	(void)state;
	struct str s = guard_place(STR("Abc"));
	assert_true(str_eq(s, "Abc"));
	assert_false(str_eq(s, "abc"));
	assert_false(str_eq(s, "Abcd"));
	assert_false(str_eq(s, "Ab"));
	assert_true(str_eq_nocase(s, "aBC"));
	assert_false(str_eq_nocase(s, "aBCd"));
	assert_true(str_starts(s, "Ab"));
	assert_true(str_starts(s, ""));
	assert_false(str_starts(s, "Abcd"));
	assert_true(str_ends(s, "bc"));
	assert_false(str_ends(s, "xAbc"));
	assert_false(str_eq(STR("a\0b"), "a"));
}

static void no_text_is_the_empty_text(void **state)
{
	(void)state;
	struct str none = str_of(NULL);
	assert_int_equal(none.n, 0);
	assert_true(str_eq_nocase((struct str){ "", 0 }, ""));
	assert_int_equal(str_head(none, 1).n, 0);
	assert_int_equal(str_tail(none, 1).n, 0);
	assert_int_equal(str_trim(none).n, 0);
	assert_int_equal(str_find(none, 'a'), -1);
	assert_int_equal(str_find_last(none, 'a'), -1);
	assert_true(str_is_utf8(none));
	auto_free char *copy = str_dup(none);
	assert_string_equal(copy, "");
}

static void cutting_stays_inside(void **state)
{
	(void)state;
	struct str s = STR("abc");
	assert_str(str_head(s, 2), "ab");
	assert_str(str_head(s, 9), "abc");
	assert_str(str_tail(s, 2), "c");
	assert_str(str_tail(s, 9), "");
	assert_str(str_trim(STR(" \ta b\t ")), "a b");
	assert_str(str_trim(STR(" \t ")), "");
	assert_str(str_trim(STR("\na\n")), "\na\n");
}

static void a_byte_is_found_from_both_ends(void **state)
{
	(void)state;
	struct str s = guard_place(STR("a:b:c"));
	assert_int_equal(str_find(s, ':'), 1);
	assert_int_equal(str_find_last(s, ':'), 3);
	assert_int_equal(str_find(s, 'x'), -1);
	assert_int_equal(str_find_last(s, 'x'), -1);
}

static void splitting_gives_every_piece_also_empty_ones(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *pieces[5];
	} cases[] = {
		{ "a,,b", { "a", "", "b" } },
		{ "a", { "a" } },
		{ "", { "" } },
		{ ",", { "", "" } },
		{ ",a,", { "", "a", "" } },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str rest = guard_place(str_of(cases[i].text)), piece;
		for (size_t n = 0; cases[i].pieces[n]; n++) {
			assert_true(str_split(&rest, ',', &piece));
			assert_str(piece, cases[i].pieces[n]);
		}
		assert_false(str_split(&rest, ',', &piece));
	}
}

static void only_plain_decimal_digits_are_a_number(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "007", 7 },
		{ "18446744073709551615", UINT64_MAX },
		{ "000000000000000000000000000001", 1 },
	};
	static const char *const bad[] = {
		"",    "-1",  "+1",  " 1",
		"1 ",  "0x1", "1e1", "18446744073709551616",
		"1.0", "1_0", "a",   "99999999999999999999",
	};
	uint64_t v;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(str_to_u64(guard_place(str_of(good[i].text)), &v));
		assert_true(v == good[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_to_u64(guard_place(str_of(bad[i])), &v));
}

static void a_copy_ends_in_nul(void **state)
{
	(void)state;
	auto_free char *copy = str_dup(guard_place(STR("a\0b")));
	assert_memory_equal(copy, "a\0b", 4);
}

/* The two ends of each length, and what lies just outside of them. */
static void utf8_is_told_from_what_is_none(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a",
		"\x7f",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"a\xc3\xa4z",
	};
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x41",
		"\xe0\x9f\xbf",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xe2\x82",
		"\xe2\x82\x41",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf0\x9f\x98",
		"\xff",
		"a\xc3",
		"\xc3\xa4\xa4",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(str_is_utf8(guard_place(str_of(good[i]))));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_is_utf8(guard_place(str_of(bad[i]))));
	assert_true(str_is_utf8(STR("a\0b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparing_looks_at_all_the_bytes),
		cmocka_unit_test(no_text_is_the_empty_text),
		cmocka_unit_test(cutting_stays_inside),
		cmocka_unit_test(a_byte_is_found_from_both_ends),
		cmocka_unit_test(splitting_gives_every_piece_also_empty_ones),
		cmocka_unit_test(only_plain_decimal_digits_are_a_number),
		cmocka_unit_test(a_copy_ends_in_nul),
		cmocka_unit_test(utf8_is_told_from_what_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
