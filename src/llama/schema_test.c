#include "llama/schema.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static int check(const char *text, struct err *e)
{
	auto_json *schema = NULL;
	assert_int_equal(json_parse(str_of(text), &schema, e), 0);
	*e = (struct err){ 0 };
	return schema_check(schema, "response_format", e);
}

static void what_the_grammar_keeps_is_taken(void **state)
{
	static const char *const rows[] = {
		"{}",
		"true",
		"{\"type\":\"object\"}",
		"{\"type\":\"object\",\"title\":\"T\",\"properties\":{\"a\":{"
		"\"type\":\"string\",\"description\":\"d\"},\"b\":{\"type\":["
		"\"integer\",\"null\"]}},\"required\":[\"a\",\"b\"],"
		"\"additionalProperties\":false}",
		"{\"type\":\"array\",\"items\":{\"type\":\"integer\","
		"\"minimum\":1,\"maximum\":9},\"minItems\":1,\"maxItems\":3}",
		"{\"enum\":[\"a\",\"b\"],\"type\":\"string\"}",
		"{\"const\":5}",
		"{\"type\":\"string\",\"format\":\"date-time\"}",
		"{\"type\":\"string\",\"pattern\":\"^a+$\"}",
		"{\"type\":\"string\",\"minLength\":1,\"maxLength\":3}",
		"{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/x\"}],"
		"\"$defs\":{\"x\":{\"type\":\"boolean\"}}}",
		"{\"type\":\"object\",\"additionalProperties\":{\"type\":"
		"\"number\"}}",
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (check(rows[i], &e))
			fail_msg("%s: %s", rows[i], e.msg);
}

static void what_it_leaves_out_is_refused_by_name(void **state)
{
	static const char *const rows[][2] = {
		{ "{\"type\":\"array\",\"uniqueItems\":true}",
		  "'uniqueItems'" },
		{ "{\"type\":\"number\",\"minimum\":1}", "'minimum'" },
		{ "{\"type\":\"integer\",\"multipleOf\":2}", "'multipleOf'" },
		{ "{\"type\":\"string\",\"pattern\":\"^a$\",\"maxLength\":1}",
		  "'maxLength'" },
		{ "{\"type\":\"string\",\"format\":\"email\"}", "'email'" },
		{ "{\"oneOf\":[{}]}", "'oneOf'" },
		{ "{\"allOf\":[{}]}", "'allOf'" },
		{ "{\"not\":{}}", "'not'" },
		{ "{\"$ref\":\"#/$defs/x\",\"type\":\"string\"}", "'type'" },
		{ "{\"anyOf\":[{}],\"properties\":{}}", "'properties'" },
		{ "{\"type\":\"object\",\"patternProperties\":{}}",
		  "'patternProperties'" },
		{ "{\"type\":\"object\",\"minProperties\":1}",
		  "'minProperties'" },
		{ "{\"type\":\"object\",\"required\":[\"a\"]}", "required" },
		{ "{\"type\":\"string\",\"enum\":[1]}", "another type" },
		{ "{\"type\":\"integer\",\"const\":1.5}", "another type" },
		{ "false", "no schema" },
		{ "[]", "no schema" },
		{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
		  "\"array\",\"items\":{\"if\":{}}}}}",
		  "'if' cannot be enforced at /properties/a/items" },
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(check(rows[i][0], &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_string_equal(e.param, "response_format");
		if (!strstr(e.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], e.msg);
	}
}

/* The schema as it is given to llama.cpp, or NULL; the caller's. */
static char *fit(const char *text, bool strict, struct err *e)
{
	auto_json *schema = NULL;
	assert_int_equal(json_parse(str_of(text), &schema, e), 0);
	*e = (struct err){ 0 };
	return schema_fit(schema, strict, "tools", e) ? NULL
						      : json_text(schema);
}

static void what_the_engine_takes_wrongly_is_changed(void **state)
{
	static const char *const rows[][2] = {
		{ "{\"pattern\":\"^a$\"}",
		  "{\"pattern\":\"^([\\\\U00000061])$\"}" },
		{ "{\"maxLength\":9999}", "{\"maxLength\":2000}" },
		{ "{\"type\":\"integer\",\"exclusiveMinimum\":1,"
		  "\"exclusiveMaximum\":4.5}",
		  "{\"type\":\"integer\",\"minimum\":2,\"maximum\":4}" },
		{ "{\"type\":[\"integer\",\"null\"],\"minimum\":1.5,"
		  "\"maximum\":1e30}",
		  "{\"type\":[\"integer\",\"null\"],\"minimum\":2}" },
		{ "{\"type\":\"integer\",\"minimum\":9007199254740993}",
		  "{\"type\":\"integer\",\"minimum\":9007199254740993,"
		  "\"maximum\":9223372036854775806}" },
		{ "{\"type\":\"integer\",\"maximum\":-1000000000000000}",
		  "{\"type\":\"integer\",\"minimum\":-9223372036854775806,"
		  "\"maximum\":-1000000000000000}" },
		{ "{\"const\":{\"pattern\":\"^a$\",\"minLength\":-1},"
		  "\"properties\":{\"minLength\":{}}}",
		  "{\"const\":{\"pattern\":\"^a$\",\"minLength\":-1},"
		  "\"properties\":{\"minLength\":{}}}" },
		{ "{\"type\":\"number\",\"minimum\":1.5}",
		  "{\"type\":\"number\",\"minimum\":1.5}" },
		{ "{\"properties\":{\"pattern\":{\"items\":[{\"anyOf\":[{"
		  "\"pattern\":\"^$\"}]}]}}}",
		  "{\"properties\":{\"pattern\":{\"items\":[{\"anyOf\":[{"
		  "\"pattern\":\"^()$\"}]}]}}}" },
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *got = fit(rows[i][0], true, &e);
		auto_json *want = NULL, *is = NULL;
		if (!got)
			fail_msg("%s: %s", rows[i][0], e.msg);
		assert_int_equal(json_parse(str_of(rows[i][1]), &want, &e), 0);
		assert_int_equal(json_parse(str_of(got), &is, &e), 0);
		if (!json_equal(want, is))
			fail_msg("%s became %s", rows[i][0], got);
	}
	auto_free char *loose = fit(
		"{\"pattern\":\"^\\\\p{L}$\",\"maxItems\":9999}", false, &e);
	assert_string_equal(loose, "{}");
}

static void what_no_value_fits_is_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "{\"minLength\":5,\"maxLength\":3}", "'maxLength' 3" },
		{ "{\"items\":{\"minItems\":1,\"maxItems\":0}}", "'minItems'" },
		{ "{\"$defs\":{\"x\":{\"minItems\":-1}}}", "whole number" },
		{ "{\"maxLength\":\"3\"}", "whole number" },
		{ "{\"x\":{\"y\":[{\"minItems\":2,\"maxItems\":1}]}}",
		  "'minItems'" },
		{ "{\"properties\":{\"const\":{\"minLength\":2001}}}", "2000" },
		{ "{\"minLength\":2001}", "2000" },
		{ "{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}",
		  "no integer" },
		{ "{\"type\":\"integer\",\"minimum\":1e30}", "no integer" },
		{ "{\"type\":\"integer\",\"exclusiveMinimum\":true}",
		  "must be a number" },
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_null(fit(rows[i][0], false, &e));
		assert_string_equal(e.param, "tools");
		if (!strstr(e.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], e.msg);
	}
	assert_null(fit("{\"pattern\":\"^(?=a)$\"}", true, &e));
	assert_non_null(strstr(e.msg, "(?=a)"));
}

/* A list of so many under `key`, and so many members that must be there. */
static int weigh(const char *key, int n, struct schema_weight *w, struct err *e)
{
	json_t *all = json_array(), *members = json_object();
	json_t *names = json_array();
	char name[16];
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "m%d", i);
		json_array_append_new(all, json_integer(i));
		json_object_set_new(members, name, json_object());
		json_array_append_new(names, json_string(name));
	}
	json_t *s = json_pack("{s:{s:o},s:o,s:o}", "items", key, all,
			      "properties", members, "required", names);
	int got = schema_weigh(s, "tools", w, e);
	json_decref(s);
	return got;
}

static void what_is_too_much_to_try_is_refused(void **state)
{
	struct schema_weight w = { 0 };
	struct err e;
	(void)state;
	assert_int_equal(weigh("enum", 2000, &w, &e), 0);
	assert_int_equal(weigh("anyOf", 3000, &w, &e), 0);
	assert_int_equal(w.choices, LIMIT_SCHEMA_CHOICES);
	assert_int_equal(w.members, LIMIT_SCHEMA_MEMBERS);
	assert_int_equal(weigh("oneOf", 1, &w, &e), -1);
	assert_non_null(strstr(e.msg, "5001 members"));
	assert_string_equal(e.param, "tools");
	w = (struct schema_weight){ 0 };
	assert_int_equal(weigh("enum", 5000, &w, &e), 0);
	w.members = 0;
	assert_int_equal(weigh("enum", 1, &w, &e), -1);
	assert_non_null(strstr(e.msg, "5001 values"));
}

static int weigh_optional(int n, int n_required, struct err *e)
{
	auto_json *members = json_object();
	auto_json *names = json_array();
	struct schema_weight w = { 0 };
	char name[16];
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "m%d", i);
		json_object_set_new(members, name, json_object());
		if (i < n_required)
			json_array_append_new(names, json_string(name));
	}
	auto_json *s = json_pack("{s:{s:O,s:O}}", "items", "properties",
				 members, "required", names);
	return schema_weigh(s, "response_format", &w, e);
}

static void members_that_may_be_left_out_are_few(void **state)
{
	struct err e;
	(void)state;
	assert_int_equal(weigh_optional(LIMIT_SCHEMA_OPTIONAL, 0, &e), 0);
	assert_int_equal(weigh_optional(1000, 600, &e), 0);
	assert_int_equal(weigh_optional(1000, 599, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.param, "response_format");
	assert_non_null(strstr(e.msg, "401 members that are not in "
				      "'required'"));
}

static void names_are_short(void **state)
{
	char name[LIMIT_SCHEMA_NAME_BYTES + 2] = { 0 };
	struct schema_weight w = { 0 };
	struct err e;
	(void)state;
	for (size_t i = 0; i <= LIMIT_SCHEMA_NAME_BYTES; i++) {
		assert_int_equal(w.name, i);
		name[i] = '_';
		auto_json *s = json_pack("[{s:{}}]", name);
		int got = schema_weigh(s, "tools", &w, &e);
		assert_int_equal(got, i == LIMIT_SCHEMA_NAME_BYTES ? -1 : 0);
	}
	assert_non_null(strstr(e.msg, "257 bytes"));
	assert_string_equal(e.param, "tools");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_grammar_keeps_is_taken),
		cmocka_unit_test(what_it_leaves_out_is_refused_by_name),
		cmocka_unit_test(what_is_too_much_to_try_is_refused),
		cmocka_unit_test(members_that_may_be_left_out_are_few),
		cmocka_unit_test(names_are_short),
		cmocka_unit_test(what_the_engine_takes_wrongly_is_changed),
		cmocka_unit_test(what_no_value_fits_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
