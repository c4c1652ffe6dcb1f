#include "llama/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static int rewrite(const char *pattern, struct buf *out)
{
	buf_init(out, 1 << 16);
	return pattern_rewrite(str_of(pattern), out);
}

static void it_is_in_the_language_of_grammars(void **state)
{
	static const char *const rows[][2] = {
		{ "^a$", "^([\\U00000061])$" },
		{ "^\\d{3}$", "^([\\U00000030-\\U00000039]{3})$" },
		{ "^(?:a|b+?)*$", "^(([\\U00000061]|[\\U00000062]+)*)$" },
		{ "^[a-c\\d_]{2,}$",
		  "^([\\U00000061-\\U00000063\\U00000030-\\U00000039"
		  "\\U0000005F]{2,})$" },
		{ "^\\$\\.\xc3\xa9\\u00e9$",
		  "^([\\U00000024][\\U0000002E][\\U000000E9][\\U000000E9])$" },
		{ "^[\\[\\]]$", "^([\\U0000005B\\U0000005D])$" },
		{ "^a$|^b$", "^([\\U00000061]|[\\U00000062])$" },
		{ "^$", "^()$" },
	};
	struct buf out;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rewrite(rows[i][0], &out))
			fail_msg("%s is refused", rows[i][0]);
		assert_string_equal(out.p, rows[i][1]);
		buf_fini(&out);
	}
}

/* Between the quotes of a JSON string. */
static void what_json_escapes_is_escaped_or_left_out(void **state)
{
	static const char *const rows[][2] = {
		{ "^\"\\\\\\n$", "^((\\\\\")(\\\\\\\\)(\\\\n))$" },
		{ "^[\"a\\\\]$", "^([\\U00000061])$" },
		{ "^[\\x00-\\x1f]$", NULL },
		{ "^[\"\\\\]$", NULL },
		{ "^\\x00$", NULL },
		{ "^\\ud83d$", NULL },
	};
	struct buf out;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(rewrite(rows[i][0], &out),
				 rows[i][1] ? 0 : -1);
		if (rows[i][1])
			assert_string_equal(out.p, rows[i][1]);
		buf_fini(&out);
	}
	/* A dot is none of them. */
	assert_int_equal(rewrite("^.$", &out), 0);
	assert_string_equal(out.p,
			    "^([\\U00000020-\\U00000021\\U00000023-\\U0000005B"
			    "\\U0000005D-\\U0000007E\\U00000080-\\U00000084"
			    "\\U00000086-\\U00002027\\U0000202A-\\U0000D7FF"
			    "\\U0000E000-\\U0010FFFF])$");
	buf_fini(&out);
}

static void without_an_anchor_it_may_stand_anywhere(void **state)
{
	struct buf out, any;
	(void)state;
	assert_int_equal(rewrite("^.*a.*$", &any), 0);
	assert_int_equal(rewrite("a", &out), 0);
	assert_string_equal(out.p, any.p);
	buf_fini(&out);
	buf_fini(&any);
	assert_int_equal(rewrite("^a.*$|^.*b$", &any), 0);
	assert_int_equal(rewrite("^a|b$", &out), 0);
	assert_string_equal(out.p, any.p);
	buf_fini(&out);
	buf_fini(&any);
}

static void what_cannot_be_kept_is_refused(void **state)
{
	static const char *const rows[] = {
		"^(a)\\1$",	 "^(?=a)b$",  "^(?<n>a)$", "^a\\b$",
		"^\\p{L}$",	 "^a$b$",     "^(^a)$",	   "^a{5,3}$",
		"^a{,3}$",	 "^a{1001}$", "^a{$",	   "^*$",
		"^a**$",	 "^(a$",      "^a)$",	   "^[a$",
		"^[b-a]$",	 "^[]$",      "^a\\",	   "^\\xg0$",
		"^[[:alpha:]]$",
	};
	struct buf out;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rewrite(rows[i], &out) == 0)
			fail_msg("%s became %s", rows[i], out.p);
		buf_fini(&out);
	}
}

static void its_depth_and_size_have_ends(void **state)
{
	char deep[300];
	struct buf out;
	(void)state;
	memset(deep, '(', 100);
	memset(deep + 100, ')', 100);
	deep[200] = '\0';
	assert_int_equal(rewrite(deep, &out), -1);
	buf_fini(&out);
	buf_init(&out, 20);
	assert_int_equal(pattern_rewrite(STR("^abc$"), &out), -1);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_in_the_language_of_grammars),
		cmocka_unit_test(what_json_escapes_is_escaped_or_left_out),
		cmocka_unit_test(without_an_anchor_it_may_stand_anywhere),
		cmocka_unit_test(what_cannot_be_kept_is_refused),
		cmocka_unit_test(its_depth_and_size_have_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
