#include "cli/modelname.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define ID "c9afe2c93692a191d5d3505df3c134f38d8551cdcd5b01bbe9e291b11c4c024a"

static int no_registry(void **state)
{
	(void)state;
	return unsetenv("DEFAULT_REGISTRY");
}

static void expect_short(const char *name, const char *want)
{
	struct str got = modelname_short(str_of(name));
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

static bool matches(const char *stored, const char *typed)
{
	return modelname_matches(str_of(stored), str_of(typed));
}

static void the_default_parts_are_not_shown(void **state)
{
	(void)state;
	expect_short("docker.io/ai/smollm2:latest", "smollm2");
	expect_short("docker.io/ai/smollm2:135M-Q4_1", "smollm2:135M-Q4_1");
	expect_short("index.docker.io/ai/x:v1", "x:v1");
	expect_short("docker.io/myorg/x:latest", "myorg/x");
	expect_short("ai/x", "x");
	expect_short("localhost:5000/ai/x:latest", "localhost:5000/ai/x");
	expect_short("localhost:5000/ai/x", "localhost:5000/ai/x");
	expect_short("huggingface.co/b/x:Q4_K_M", "huggingface.co/b/x:Q4_K_M");
	expect_short("docker.iox/ai/x", "docker.iox/ai/x");
	expect_short("", "");
}

static void another_default_registry_takes_its_place(void **state)
{
	(void)state;
	setenv("DEFAULT_REGISTRY", "reg.example:5000", 1);
	expect_short("reg.example:5000/ai/x:latest", "x");
	expect_short("docker.io/ai/x:latest", "docker.io/ai/x");
}

static void ids_are_cut_to_twelve_digits(void **state)
{
	struct str got = modelname_short_id(STR("sha256:" ID));
	(void)state;
	assert_int_equal(got.n, 12);
	assert_memory_equal(got.p, "c9afe2c93692", 12);
	assert_int_equal(modelname_short_id(STR("abc")).n, 3);
}

/* `list smollm2` found nothing in Docker Model Runner: it compared what was
 * typed with the full name. */
static void an_ordinary_name_finds_its_model(void **state)
{
	static const char stored[] = "docker.io/ai/smollm2:latest";
	(void)state;
	assert_true(matches(stored, "smollm2"));
	assert_true(matches(stored, "SmolLM2"));
	assert_true(matches(stored, "ai/smollm2"));
	assert_true(matches(stored, "smollm2:latest"));
	assert_true(matches(stored, "docker.io/ai/smollm2:latest"));
	assert_true(matches(stored, "index.docker.io/ai/smollm2"));
	assert_false(matches(stored, "smollm2:v1"));
	assert_false(matches(stored, "smol"));
	assert_false(matches(stored, "myorg/smollm2"));
	assert_false(matches(stored, ""));
}

static void a_repository_finds_all_its_tags(void **state)
{
	(void)state;
	assert_true(matches("docker.io/ai/x:Q4", "x"));
	assert_true(matches("docker.io/ai/x:Q4", "x:Q4"));
	assert_false(matches("docker.io/ai/x:Q4", "x:q4"));
	assert_true(matches("huggingface.co/b/x:Q4", "hf.co/b/x"));
	assert_true(matches("localhost:5000/ai/x:v1", "localhost:5000/ai/x"));
	assert_false(matches("localhost:5000/ai/x:v1", "x"));
}

static void an_id_matches_whole_or_by_twelve_digits(void **state)
{
	(void)state;
	struct str id = STR("sha256:" ID);
	assert_true(modelname_matches_id(id, STR("c9afe2c93692")));
	assert_true(modelname_matches_id(id, STR("sha256:" ID)));
	assert_true(modelname_matches_id(id, STR(ID)));
	assert_false(modelname_matches_id(id, STR("c9afe2c9369")));
	assert_false(modelname_matches_id(id, STR(ID "00")));
	assert_false(modelname_matches_id(id, STR("d9afe2c93692")));
}

static void a_new_name_is_made_whole_and_is_no_id(void **state)
{
	struct ref r;
	struct err e;
	(void)state;
	assert_int_equal(modelname_parse("x", &r, &e), 0);
	assert_string_equal(r.registry, "docker.io");
	assert_string_equal(r.repository, "ai/x");
	assert_string_equal(r.tag, "latest");
	assert_int_equal(modelname_parse("c9afe2c93692", &r, &e), -1);
	assert_int_equal(modelname_parse("up x", &r, &e), -1);
}

static int order(const char *a, const char *b)
{
	return modelname_compare(str_of(a), str_of(b));
}

static void names_sort_by_repository_then_tag(void **state)
{
	(void)state;
	assert_true(order("docker.io/ai/a:z", "docker.io/ai/b:a") < 0);
	assert_true(order("docker.io/ai/A:1", "docker.io/ai/b:1") < 0);
	assert_true(order("docker.io/ai/x:a", "docker.io/ai/x:B") < 0);
	assert_true(order("docker.io/ai/x:latest", "docker.io/ai/x:a") < 0);
	assert_true(order("", "docker.io/ai/x:a") < 0);
	assert_int_equal(order("docker.io/ai/x:a", "docker.io/ai/x:a"), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, no_registry)
	const struct CMUnitTest tests[] = {
		T(the_default_parts_are_not_shown),
		T(another_default_registry_takes_its_place),
		T(ids_are_cut_to_twelve_digits),
		T(an_ordinary_name_finds_its_model),
		T(a_repository_finds_all_its_tags),
		T(an_id_matches_whole_or_by_twelve_digits),
		T(a_new_name_is_made_whole_and_is_no_id),
		T(names_sort_by_repository_then_tag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
