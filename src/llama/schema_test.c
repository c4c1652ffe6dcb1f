#include "llama/schema.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_grammar_keeps_is_taken),
		cmocka_unit_test(what_it_leaves_out_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
