#include "llama/schema_refs.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

/* The schema with its references moved, or NULL. */
static json_t *moved(const char *text, size_t *made, struct err *e)
{
	json_t *s = NULL;
	assert_int_equal(json_parse(str_of(text), &s, e), 0);
	*e = (struct err){ 0 };
	if (schema_refs_move(s, made, "tools", e) == 0)
		return s;
	json_decref(s);
	return NULL;
}

static void what_is_referred_to_moves(void **state)
{
	static const char *const rows[][2] = {
		{ "{\"properties\":{\"$ref\":{\"const\":{\"$ref\":\"#\"}}}}",
		  "{\"properties\":{\"$ref\":{\"const\":{\"$ref\":\"#\"}}}}" },
		{ "{\"items\":{\"$ref\":\"#/$defs/a_b\"},"
		  "\"not\":{\"$ref\":\"#/$defs/a-b\"},"
		  "\"$defs\":{\"a_b\":{\"x\":1},\"a-b\":{},\"c\":{}}}",
		  "{\"items\":{\"$ref\":\"#/$defs/d0x\"},"
		  "\"not\":{\"$ref\":\"#/$defs/d1x\"},"
		  "\"$defs\":{\"d0x\":{\"x\":1},\"d1x\":{}}}" },
		/* itself; a definition may have any name */
		{ "{\"properties\":{\"a\":{\"$ref\":\"#\"},\"b\":{\"$ref\":"
		  "\"#\"},\"c\":{\"$ref\":\"#/$defs/whole\"}},"
		  "\"$defs\":{\"whole\":{\"$ref\":\"#/properties/c\"}}}",
		  "{\"$ref\":\"#/$defs/d0x\",\"$defs\":{\"d0x\":{"
		  "\"properties\":{\"a\":{\"$ref\":\"#/$defs/d0x\"},"
		  "\"b\":{\"$ref\":\"#/$defs/d0x\"},"
		  "\"c\":{\"$ref\":\"#/$defs/d2x\"}}},"
		  "\"d1x\":{\"$ref\":\"#/$defs/d2x\"},"
		  "\"d2x\":{\"$ref\":\"#/$defs/d1x\"}}}" },
		/* in lists, and in what is referred to */
		{ "{\"anyOf\":[{\"items\":{\"y\":2}},{\"$ref\":\"#/anyOf/0\"},"
		  "{\"$ref\":\"#/anyOf/0/items\"}]}",
		  "{\"anyOf\":[{\"$ref\":\"#/$defs/d0x\"},"
		  "{\"$ref\":\"#/$defs/d0x\"},{\"$ref\":\"#/$defs/d1x\"}],"
		  "\"$defs\":{\"d0x\":{\"items\":{\"$ref\":\"#/$defs/d1x\"}},"
		  "\"d1x\":{\"y\":2}}}" },
		/* escapes, or what only looks like them */
		{ "{\"anyOf\":[{\"$ref\":\"#/$defs/a~1b%20~0\"},"
		  "{\"$ref\":\"#/$defs/c%20\"},{\"$ref\":\"#/$defs/%2\"}],"
		  "\"$defs\":{\"a/b ~\":{\"x\":1},\"c%20\":{\"x\":2},"
		  "\"%2\":{\"x\":3}}}",
		  "{\"anyOf\":[{\"$ref\":\"#/$defs/d0x\"},"
		  "{\"$ref\":\"#/$defs/d1x\"},{\"$ref\":\"#/$defs/d2x\"}],"
		  "\"$defs\":{\"d0x\":{\"x\":1},\"d1x\":{\"x\":2},"
		  "\"d2x\":{\"x\":3}}}" },
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t made = 0;
		auto_json *want = NULL, *got = moved(rows[i][0], &made, &e);
		if (!got)
			fail_msg("%s: %s", rows[i][0], e.msg);
		assert_int_equal(json_parse(str_of(rows[i][1]), &want, &e), 0);
		auto_free char *text = json_text(got);
		if (!json_equal(want, got))
			fail_msg("%s became %s", rows[i][0], text);
	}
}

static void schemas_of_one_request_share_no_name(void **state)
{
	static const char one[] =
		"{\"items\":{\"$ref\":\"#/$defs/a\"},\"$defs\":{\"a\":{}}}";
	size_t made = 0;
	struct err e;
	(void)state;
	auto_json *first = moved(one, &made, &e);
	auto_json *second = moved(one, &made, &e);
	assert_int_equal(made, 2);
	assert_non_null(
		json_object_get(json_object_get(first, "$defs"), "d0x"));
	assert_non_null(
		json_object_get(json_object_get(second, "$defs"), "d1x"));
}

static void what_leads_to_no_schema_is_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "{\"$ref\":\"#/$defs/a\"}", "leads nowhere" },
		{ "{\"$ref\":\"#/anyOf/2\",\"anyOf\":[{}]}", "leads nowhere" },
		{ "{\"$ref\":\"#/anyOf/-0\",\"anyOf\":[{}]}", "leads nowhere" },
		{ "{\"$ref\":\"#/%00\"}", "leads nowhere" },
		{ "{\"$ref\":\"#name\"}", "is no path" },
		{ "{\"$ref\":\"#/$defs\",\"$defs\":{\"a\":{}}}", "no schema" },
		{ "{\"$ref\":\"#/anyOf\",\"anyOf\":[{}]}", "no schema" },
		{ "{\"$ref\":\"#/enum/0\",\"enum\":[{}]}", "no schema" },
		{ "{\"$ref\":\"#/default\",\"default\":{}}", "no schema" },
		{ "{\"$ref\":\"#/title\",\"title\":{}}", "no schema" },
		{ "{\"$ref\":\"#/type\",\"type\":\"null\"}", "no schema" },
	};
	struct err e;
	size_t made = 0;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json *got = moved(rows[i][0], &made, &e);
		if (got)
			fail_msg("%s is taken", rows[i][0]);
		assert_string_equal(e.param, "tools");
		if (!strstr(e.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], e.msg);
	}
}

static void their_number_has_a_ceiling(void **state)
{
	auto_json *defs = json_object(), *all = json_array();
	char name[32];
	struct err e;
	(void)state;
	for (int i = 0; i <= LIMIT_SCHEMA_MEMBERS; i++) {
		size_t made = 0;
		snprintf(name, sizeof name, "m%d", i);
		json_object_set_new(defs, name, json_object());
		json_array_append_new(
			all, json_pack("{s:o}", "$ref",
				       json_sprintf("#/$defs/%s", name)));
		if (i < LIMIT_SCHEMA_MEMBERS - 1)
			continue;
		auto_json *outer =
			json_pack("{s:O,s:O}", "$defs", defs, "anyOf", all);
		auto_json *s = json_deep_copy(outer);
		assert_int_equal(schema_refs_move(s, &made, "tools", &e),
				 i < LIMIT_SCHEMA_MEMBERS ? 0 : -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_referred_to_moves),
		cmocka_unit_test(schemas_of_one_request_share_no_name),
		cmocka_unit_test(what_leads_to_no_schema_is_refused),
		cmocka_unit_test(their_number_has_a_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
