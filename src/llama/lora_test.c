#include "llama/lora.h"

#include "llama/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static int start(void **state)
{
	struct lora *l = lora_new();
	struct err e;
	*state = l;
	return lora_add(l, "one=/x/1.gguf", false, &e) ||
	       lora_add(l, "/x/two.gguf:-0.5", true, &e) ||
	       lora_add(l, "./a=b.gguf:0", true, &e);
}

static int end(void **state)
{
	lora_free(*state);
	return 0;
}

static int read(const struct lora *l, const char *text, struct lora_scales *out,
		struct err *e)
{
	auto_json *given = NULL;
	*e = (struct err){ 0 };
	assert_int_equal(json_parse(str_of(text), &given, e), 0);
	return lora_read(l, given, out, e);
}

static void options_name_files_and_scales(void **state)
{
	auto_writer struct writer w = WRITER(1000);
	lora_put(*state, &w);
	assert_string_equal(writer_str(&w).p,
			    "[{\"id\":0,\"name\":\"one\",\"scale\":1},"
			    "{\"id\":1,\"name\":\"two\",\"scale\":-0.5},"
			    "{\"id\":2,\"name\":\"a=b\",\"scale\":0}]");
	assert_string_equal(lora_path(*state, 0), "/x/1.gguf");
	assert_string_equal(lora_path(*state, 1), "/x/two.gguf");
	assert_string_equal(lora_path(*state, 2), "./a=b.gguf");
}

static void wrong_options_are_refused(void **state)
{
	static const struct {
		const char *text;
		bool has_scale;
		const char *says;
	} rows[] = {
		{ "", false, "without a path" },
		{ "x=", false, "without a path" },
		{ "=x", false, "1 to 100 bytes, not 0" },
		{ "/x/.gguf", false, "1 to 100 bytes, not 0" },
		{ "one=y", false, "two adapters are called 'one'" },
		{ "/y/two.gguf", false, "two adapters are called 'two'" },
		{ "x", true, "must end with ':' and a scale" },
		{ "x:", true, "must end with ':' and a scale" },
		{ "x:y", true, "must end with ':' and a scale" },
		{ "x:nan", true, "a scale from -10 to 10" },
		{ "x:10.1", true, "a scale from -10 to 10" },
	};
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
			lora_add(*state, rows[i].text, rows[i].has_scale, &e),
			-1);
		assert_int_equal(e.code, ERR_USAGE);
		if (!strstr(e.msg, rows[i].says))
			fail_msg("%s: %s", rows[i].text, e.msg);
	}
	assert_int_equal(lora_count(*state), 3);
}

static void adapters_have_a_ceiling(void **state)
{
	struct err e;
	for (size_t i = lora_count(*state); i <= LIMIT_LORA_ADAPTERS; i++) {
		auto_free char *text = xasprintf("%zu.gguf", i);
		assert_int_equal(lora_add(*state, text, false, &e),
				 i < LIMIT_LORA_ADAPTERS ? 0 : -1);
	}
}

static void a_request_that_says_nothing_has_those_of_the_start(void **state)
{
	struct lora_scales s;
	struct err e;
	assert_int_equal(lora_read(*state, NULL, &s, &e), 0);
	assert_true(s.of[0] == 1 && s.of[1] == -0.5f && s.of[2] == 0);
}

static void a_request_has_what_it_names_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		float of[3];
	} rows[] = {
		{ "[]", { 0, 0, 0 } },
		{ "[{\"id\":1,\"scale\":0.25}]", { 0, 0.25f, 0 } },
		{ "[{\"name\":\"two\"}]", { 0, 1, 0 } },
		{ "[{\"name\":\"a=b\",\"scale\":-10},{\"id\":0,\"scale\":10}]",
		  { 10, 0, -10 } },
	};
	struct lora_scales s, none = { 0 };
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(read(*state, rows[i].text, &s, &e), 0);
		assert_memory_equal(s.of, rows[i].of, sizeof rows[i].of);
	}
	/* However zero is written. */
	assert_int_equal(read(*state, "[{\"id\":0,\"scale\":-0.0}]", &s, &e),
			 0);
	assert_true(lora_same(&s, &none));
	assert_int_equal(read(*state, "[{\"id\":0,\"scale\":0.1}]", &s, &e), 0);
	assert_false(lora_same(&s, &none));
}

static void a_wrong_field_says_which_one_of_which_object(void **state)
{
	static const char *const rows[][2] = {
		{ "[7]", "lora[0]: must be an object" },
		{ "[{}]", "lora[0]: 'id' or 'name' must be given" },
		{ "[{\"id\":0},{\"scale\":1}]", "lora[1]: 'id' or 'name'" },
		{ "[{\"id\":0,\"name\":\"one\"}]", "give one" },
		{ "[{\"id\":3}]", "no adapter 3: this model has 3" },
		{ "[{\"id\":2147483647}]", "no adapter 2147483647" },
		{ "[{\"id\":-1}]", "lora[0]: 'id'" },
		{ "[{\"id\":2147483648}]", "lora[0]: 'id'" },
		{ "[{\"id\":9223372036854775807}]", "lora[0]: 'id'" },
		{ "[{\"id\":0.5}]", "lora[0]: 'id'" },
		{ "[{\"id\":\"0\"}]", "lora[0]: 'id'" },
		{ "[{\"name\":7}]", "lora[0]: 'name'" },
		{ "[{\"name\":\"three\"}]", "no adapter 'three'" },
		{ "[{\"id\":0,\"scale\":10.01}]", "lora[0]: 'scale'" },
		{ "[{\"id\":0,\"scale\":-1e300}]", "lora[0]: 'scale'" },
		{ "[{\"id\":0,\"scale\":\"1\"}]", "lora[0]: 'scale'" },
		{ "[{\"id\":0},{\"name\":\"one\"}]",
		  "lora[1]: 'one' is there twice" },
	};
	struct lora_scales s;
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(read(*state, rows[i][0], &s, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_string_equal(e.param, "lora");
		if (!strstr(e.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], e.msg);
	}
}

static void without_adapters_only_none_can_be_asked_for(void **state)
{
	auto_(lora) l = lora_new();
	struct lora_scales s, none = { 0 };
	struct err e;
	(void)state;
	assert_int_equal(read(l, "[]", &s, &e), 0);
	assert_true(lora_same(&s, &none));
	assert_int_equal(read(l, "[{\"id\":0}]", &s, &e), -1);
	assert_non_null(strstr(e.msg, "has no adapters"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_name_files_and_scales),
		TEST(wrong_options_are_refused),
		TEST(adapters_have_a_ceiling),
		TEST(a_request_that_says_nothing_has_those_of_the_start),
		TEST(a_request_has_what_it_names_and_nothing_else),
		TEST(a_wrong_field_says_which_one_of_which_object),
		TEST(without_adapters_only_none_can_be_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
