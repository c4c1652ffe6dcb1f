#include "api/allowed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Does this one pattern allow the model that has this name? */
static bool allows(const char *pattern, const char *name, const char *registry)
{
	auto_free char *text = xstrdup(pattern);
	char *patterns[] = { text, NULL };
	const char *const tags[] = { name };
	struct allowed by = { patterns, registry };
	struct catalog_model m = { .tags = tags, .n_tags = 1 };
	return allowed_model(&by, &m);
}

static void a_pattern_means_names_as_people_write_them(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool got;
	} rows[] = {
		{ "*", "docker.io/ai/smollm2:latest", true },
		{ "*", "example.com/x/y:z", true },
		{ "smollm2", "docker.io/ai/smollm2:latest", true },
		{ "smollm2", "docker.io/ai/smollm2:135M", true },
		{ "smollm2:135M", "docker.io/ai/smollm2:135M", true },
		{ "smollm2:135M", "docker.io/ai/smollm2:latest", false },
		{ "smollm2", "docker.io/ai/smollm2x:latest", false },
		{ "smollm2", "docker.io/team/smollm2:latest", false },
		{ "smollm2", "example.com/ai/smollm2:latest", false },
		{ "smol*", "docker.io/ai/smollm2:latest", true },
		{ "*:135M", "docker.io/ai/smollm2:135M", true },
		{ "*:135M", "docker.io/team/smollm2:135M", false },
		{ "s*2", "docker.io/ai/smollm2:latest", true },
		{ "s*m*2", "docker.io/ai/smollm2:latest", true },
		{ "s*x*2", "docker.io/ai/smollm2:latest", false },
		{ "d*", "docker.io/team/x:latest", false },
		{ "ai/*", "docker.io/ai/smollm2:latest", true },
		{ "ai/*", "docker.io/aix/smollm2:latest", false },
		{ "ai/*", "example.com/ai/smollm2:latest", false },
		{ "team/*", "docker.io/team/x:latest", true },
		{ "team/*", "docker.io/team/deep/x:latest", true },
		{ "team/x", "docker.io/team/x:latest", true },
		{ "team/x", "docker.io/team/xy:latest", false },
		{ "docker.io/ai/*", "docker.io/ai/smollm2:latest", true },
		{ "example.com/*", "example.com/x/y:z", true },
		{ "example.com/*", "example.com.evil.org/x/y:z", false },
		{ "example.com:5000/x", "example.com:5000/x:latest", true },
		{ "hf.co/org/*", "huggingface.co/org/repo:Q4_K_M", true },
		{ "hf.co/org/*:Q4_*", "huggingface.co/org/repo:Q4_K_M", true },
		{ "hf.co/org/*:Q8_*", "huggingface.co/org/repo:Q4_K_M", false },
		{ "hf.co/*", "docker.io/hf.co/x:latest", false },
		{ "", "docker.io/ai/smollm2:latest", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (allows(rows[i].pattern, rows[i].name, "docker.io") !=
		    rows[i].got)
			fail_msg("%s and %s", rows[i].pattern, rows[i].name);
}

static void the_default_registry_may_be_another(void **state)
{
	(void)state;
	assert_true(
		allows("ai/*", "reg.local:5000/ai/x:latest", "reg.local:5000"));
	assert_true(
		allows("x", "reg.local:5000/ai/x:latest", "reg.local:5000"));
	assert_false(allows("ai/*", "docker.io/ai/x:latest", "reg.local:5000"));
	assert_true(allows("docker.io/ai/*", "docker.io/ai/x:latest",
			   "reg.local:5000"));
}

static void a_name_that_nobody_has_is_made_exact_first(void **state)
{
	char *patterns[] = { "team/*", "hf.co/org/*", NULL };
	struct allowed by = { patterns, "docker.io" };
	(void)state;
	assert_true(allowed_name(&by, STR("team/x")));
	assert_true(allowed_name(&by, STR("Team/X:1")));
	assert_true(allowed_name(&by, STR("docker.io/team/x")));
	assert_true(allowed_name(&by, STR("index.docker.io/team/x")));
	assert_true(allowed_name(&by, STR("hf.co/Org/x")));
	assert_false(allowed_name(&by, STR("x")));
	assert_false(allowed_name(&by, STR("other/x")));
	assert_false(allowed_name(&by, STR("example.com/team/x")));
	assert_false(allowed_name(&by, STR("")));
	assert_false(allowed_name(&by, STR("../team/x")));
	by.patterns = NULL;
	assert_true(allowed_name(&by, STR("anything at all")));
}

static void a_model_is_allowed_by_any_of_its_names(void **state)
{
	char *team[] = { "team/*", NULL }, *all[] = { "*", NULL };
	const char *const tags[] = { "docker.io/ai/x:latest",
				     "docker.io/team/x:latest" };
	struct allowed by = { team, "docker.io" };
	struct catalog_model m = { .tags = tags, .n_tags = 2 };
	(void)state;
	assert_true(allowed_model(&by, &m));
	assert_false(allowed_tags(&by, &m));
	assert_false(allowed_tag(&by, tags[0]));
	assert_true(allowed_tag(&by, tags[1]));
	m.n_tags = 1;
	assert_false(allowed_model(&by, &m));
	m.n_tags = 0; /* without names: only who may use all */
	assert_false(allowed_model(&by, &m));
	by.patterns = all;
	assert_true(allowed_model(&by, &m));
}

static void a_copy_lives_on(void **state)
{
	struct arena a;
	auto_free char *text = xstrdup("team/*");
	char *patterns[] = { text, NULL };
	struct allowed by = { patterns, "docker.io" }, none = { NULL, "x" };
	(void)state;
	arena_init(&a);
	struct allowed copy = allowed_copy(&by, &a);
	memset(text, 'x', strlen(text));
	assert_string_equal(copy.patterns[0], "team/*");
	assert_null(copy.patterns[1]);
	assert_null(allowed_copy(&none, &a).patterns);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_means_names_as_people_write_them),
		cmocka_unit_test(the_default_registry_may_be_another),
		cmocka_unit_test(a_name_that_nobody_has_is_made_exact_first),
		cmocka_unit_test(a_model_is_allowed_by_any_of_its_names),
		cmocka_unit_test(a_copy_lives_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
