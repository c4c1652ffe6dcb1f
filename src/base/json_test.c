#include "base/json.h"
#include "base/buf.h"
#include "base/limits.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- json_parse and typed members ---- */

static json_t *parsed(const char *text)
{
	json_t *j = NULL;
	struct err e;
	assert_int_equal(json_parse(guard_place(str_of(text)), &j, &e), 0);
	return j;
}

static void one_value_that_fills_the_text_is_json(void **state)
{
	(void)state;
	static const char *const good[] = { "{}",  "[]",   "5",	  "\"a\"",
					    " 1 ", "null", "true" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		json_decref(parsed(good[i]));
}

static void what_is_not_quite_json_is_refused(void **state)
{
	(void)state;
	static const struct str bad[] = {
		{ "", 0 },
		{ "{", 1 },
		{ "{}x", 3 },
		{ "{a:1}", 5 },
		{ "{'a':1}", 7 },
		{ "[1,]", 4 },
		{ "01", 2 },
		{ "NaN", 3 },
		{ "\"\xff\"", 3 },
		{ "// x\n1", 6 },
		{ "{\"a\":1,\"a\":2}", 13 },
		/* jansson by itself takes these two. */
		{ "{\"a\":2\0}", 8 },
		{ "[1\0\0,2]", 8 },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *j = NULL;
		struct err e;
		assert_int_equal(json_parse(guard_place(bad[i]), &j, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(j);
	}
}

static void a_member_is_given_or_left_alone(void **state)
{
	(void)state;
	auto_json *j = parsed("{\"s\":\"a\",\"b\":true,\"i\":3.0,"
			      "\"n\":0.5,\"z\":null}");
	struct str s = STR("old");
	bool b = false;
	int64_t i = 7;
	double n = 7;
	struct err e;
	assert_int_equal(json_get_str(j, "x", &s, &e), 0);
	assert_int_equal(json_get_str(j, "z", &s, &e), 0);
	assert_true(str_eq(s, "old"));
	assert_int_equal(json_get_bool(j, "z", &b, &e), 0);
	assert_false(b);
	assert_int_equal(json_get_int(j, "z", 0, 1, &i, &e), 0);
	assert_int_equal(json_get_num(j, "z", 0, 1, &n, &e), 0);
	assert_int_equal(i, 7);
	assert_true(n == 7);
	assert_int_equal(json_get_bool(j, "b", &b, &e), 0);
	assert_true(b);
	assert_int_equal(json_get_int(j, "i", 0, 3, &i, &e), 0);
	assert_int_equal(i, 3);
	assert_int_equal(json_get_num(j, "n", 0, 1, &n, &e), 0);
	assert_true(n == 0.5);
	assert_int_equal(json_get_num(j, "i", 0, 5, &n, &e), 0);
	assert_true(n == 3);
}

static void a_member_of_wrong_type_or_range_is_named(void **state)
{
	(void)state;
	auto_json *j = parsed("{\"s\":\"a\",\"i\":3,\"n\":0.5,\"h\":1e300}");
	struct str s;
	bool b;
	int64_t i;
	double n;
	struct err e;
	assert_int_equal(json_get_str(j, "i", &s, &e), -1);
	assert_string_equal(e.param, "i");
	assert_int_equal(json_get_bool(j, "i", &b, &e), -1);
	assert_int_equal(json_get_int(j, "s", 0, 9, &i, &e), -1);
	assert_int_equal(json_get_int(j, "n", 0, 9, &i, &e), -1);
	assert_int_equal(json_get_int(j, "i", 4, 9, &i, &e), -1);
	assert_int_equal(json_get_int(j, "i", 0, 2, &i, &e), -1);
	assert_int_equal(json_get_int(j, "h", 0, INT64_MAX, &i, &e), -1);
	assert_string_equal(e.param, "h");
	assert_int_equal(json_get_num(j, "s", 0, 9, &n, &e), -1);
	assert_int_equal(json_get_num(j, "n", 0.6, 9, &n, &e), -1);
	assert_int_equal(json_get_num(j, "n", 0, 0.4, &n, &e), -1);
	assert_string_equal(e.param, "n");
}

/* A real is compared as a double, where INT64_MAX is one more than it is. */
static void the_ends_of_the_range_do_not_overflow(void **state)
{
	(void)state;
	int64_t i;
	struct err e;
	auto_json *j = parsed("{\"min\":-9223372036854775808,"
			      "\"max\":9223372036854775807,"
			      "\"real\":9223372036854775808.0}");
	assert_int_equal(json_get_int(j, "min", INT64_MIN, INT64_MAX, &i, &e),
			 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(json_get_int(j, "max", INT64_MIN, INT64_MAX, &i, &e),
			 0);
	assert_true(i == INT64_MAX);
	assert_int_equal(json_get_int(j, "real", INT64_MIN, INT64_MAX, &i, &e),
			 -1);
	assert_int_equal(
		json_get_int(j, "max", INT64_MIN, INT64_MAX - 1, &i, &e), -1);
}

static void text_comes_out_compact_and_in_order(void **state)
{
	(void)state;
	auto_json *j = parsed("{ \"b\" : [ 1 , 2.5 ] , \"a\" : \"x\" }");
	auto_free char *text = json_text(j);
	assert_string_equal(text, "{\"b\":[1,2.5],\"a\":\"x\"}");
}

/* ---- json_scan_str ---- */

static const struct {
	const char *text;
	const char *model; /* NULL: absent */
} scans[] = {
	{ "{}", NULL },
	{ " { } ", NULL },
	{ "{\"model\":\"a\"}", "a" },
	{ "{\"model\" : \"\"}", "" },
	{ "{\"a\":{\"model\":\"x\"},\"model\":\"a\"}", "a" },
	{ "{\"a\":{\"model\":5,\"model\":6}}", NULL },
	{ "{\"a\":[{\"model\":\"x\"},[[]],{}],\"b\":[]}", NULL },
	{ "{\"a\":[1,[2,[3]],4],\"model\":\"b\",\"c\":{}}", "b" },
	{ "{\"mod\\u0065l\":\"a\"}", "a" },
	{ "{\"model\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "a\"\\/\b\f\n\r\t" },
	{ "{\"model\":\"\\u00e4\\u20AC\\ud83d\\uDE00\"}",
	  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "{\"a\":[0,-0,12,-1.5,1e5,1E+5,2.5e-3],\"b\":[true,false,null]}",
	  NULL },
	{ "\t\r\n {\"model\":\"a\"}\n", "a" },
	{ "{\"\":1,\"modelx\":2,\"mode\":3}", NULL },
	{ "{\"a\":{\"Model\":5},\"model\":\"a\"}", "a" },
};

static int scan(struct str text, char **out, struct err *e)
{
	return json_scan_str(guard_place(text), "model", out, e);
}

static void the_member_is_found_at_the_top_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scans); i++) {
		auto_free char *model = NULL;
		struct err e = { .msg = "" };
		int r = scan(str_of(scans[i].text), &model, &e);
		if (r != (scans[i].model ? 0 : JSON_ABSENT))
			fail_msg("%d for %s: %s", r, scans[i].text, e.msg);
		if (scans[i].model)
			assert_string_equal(model, scans[i].model);
	}
}

static void every_prefix_of_a_text_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scans); i++) {
		struct str text = str_of(scans[i].text);
		size_t whole = (size_t)str_find_last(text, '}') + 1;
		for (size_t n = 0; n < whole; n++) {
			char *model = NULL;
			struct err e;
			assert_int_equal(scan(str_head(text, n), &model, &e),
					 -1);
			assert_null(model);
		}
	}
}

static void text_that_is_not_json_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"[]",
		"\"model\"",
		"5",
		"{}x",
		"{}{}",
		"{,}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\":1 \"b\":2}",
		"{\"a\":[1,]}",
		"{\"a\":[,1]}",
		"{\"a\":[1}",
		"{\"a\":{]}",
		"{a:1}",
		"{'a':1}",
		"{\"a\":01}",
		"{\"a\":-}",
		"{\"a\":+1}",
		"{\"a\":.5}",
		"{\"a\":5.}",
		"{\"a\":1e}",
		"{\"a\":1e+}",
		"{\"a\":tru}",
		"{\"a\":TRUE}",
		"{\"a\":NaN}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud800\\u0041\"}",
		"{\"a\":\"\\udc00\"}",
		"{\"a\":\"\xff\"}",
		"{\"\xc3\":1}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{/**/}",
		"\xef\xbb\xbf{}",
		/* Well-formed, but not a model that two readers agree on. */
		"{\"model\":\"a\",\"model\":\"b\"}",
		"{\"model\":\"a\",\"mode\\u006c\":\"a\"}",
		"{\"model\":\"a\",\"Model\":\"b\"}",
		"{\"MODEL\":\"b\"}",
		"{\"model\":5}",
		"{\"model\":null}",
		"{\"model\":[\"a\"]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *model = NULL;
		struct err e;
		if (scan(str_of(bad[i]), &model, &e) != -1)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(model);
	}
}

static void a_member_of_another_type_is_named(void **state)
{
	(void)state;
	char *model = NULL;
	struct err e;
	assert_int_equal(scan(STR("{\"model\":5}"), &model, &e), -1);
	assert_string_equal(e.param, "model");
}

static int scan_nested(size_t depth, struct err *e)
{
	auto_buf struct buf b;
	char *model = NULL;
	buf_init(&b, 100000);
	assert_int_equal(buf_puts(&b, "{\"a\":"), 0);
	for (size_t i = 1; i < depth; i++)
		assert_int_equal(buf_puts(&b, "["), 0);
	for (size_t i = 1; i < depth; i++)
		assert_int_equal(buf_puts(&b, "]"), 0);
	assert_int_equal(buf_puts(&b, "}"), 0);
	return scan(buf_str(&b), &model, e);
}

static void brackets_may_nest_as_deep_as_the_limit(void **state)
{
	(void)state;
	struct err e;
	assert_int_equal(scan_nested(LIMIT_JSON_DEPTH, &e), JSON_ABSENT);
	assert_int_equal(scan_nested(LIMIT_JSON_DEPTH + 1, &e), -1);
	assert_non_null(strstr(e.msg, "nested too deeply"));
}

static void a_true_member_is_found_without_a_tree(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "{\"s\":true}", true },
		{ "{\"a\":[{\"s\":false}],\"s\" : true }", true },
		{ "{\"\\u0073\":true}", true },
		{ "{\"s\":false}", false },
		{ "{\"s\":null}", false },
		{ "{\"s\":\"true\"}", false },
		{ "{\"s\":{\"s\":true}}", false },
		{ "{\"s\":[true]}", false },
		{ "{}", false },
	};
	static const char *const bad[] = { "[true]", "{\"s\":}", "{\"s\":true",
					   "{\"s\":truee}", "{\"s\":{]}" };
	struct err e;
	bool got;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		got = !cases[i].want;
		assert_int_equal(
			json_scan_true(str_of(cases[i].text), "s", &got, &e),
			0);
		assert_int_equal(got, cases[i].want);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(json_scan_true(str_of(bad[i]), "s", &got, &e),
				 -1);
}

static void the_size_of_a_tree_is_limited(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t marks;
	} cases[] = {
		{ "[{},[],{\"a\":0,\"b\":1}]", 7 },
		{ "\"{[,\\\",{\"", 0 },
		{ "{\"\\\\\":[]}", 2 },
		{ "7", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e;
		auto_json *fits = NULL;
		auto_json *is_not = NULL;
		struct str text = str_of(cases[i].text);
		size_t n = cases[i].marks;
		assert_int_equal(json_parse_bounded(text, n, &fits, &e), 0);
		if (!n)
			continue;
		assert_int_equal(json_parse_bounded(text, n - 1, &is_not, &e),
				 -1);
		assert_int_equal(e.code, ERR_TOO_LARGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_value_that_fills_the_text_is_json),
		cmocka_unit_test(what_is_not_quite_json_is_refused),
		cmocka_unit_test(a_member_is_given_or_left_alone),
		cmocka_unit_test(a_member_of_wrong_type_or_range_is_named),
		cmocka_unit_test(the_ends_of_the_range_do_not_overflow),
		cmocka_unit_test(text_comes_out_compact_and_in_order),
		cmocka_unit_test(the_member_is_found_at_the_top_only),
		cmocka_unit_test(every_prefix_of_a_text_is_refused),
		cmocka_unit_test(text_that_is_not_json_is_refused),
		cmocka_unit_test(a_member_of_another_type_is_named),
		cmocka_unit_test(brackets_may_nest_as_deep_as_the_limit),
		cmocka_unit_test(a_true_member_is_found_without_a_tree),
		cmocka_unit_test(the_size_of_a_tree_is_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
