#include "hub/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* What is chosen of `paths` (comma-separated), in the same form; or the error.
 */
static const char *choose(const char *paths, const char *tag)
{
	static char out[1000];
	struct listing l;
	struct selection s;
	struct err e;
	struct str rest = str_of(paths), path;
	size_t used = 0;
	listing_init(&l);
	while (str_split(&rest, ',', &path)) {
		char page[400];
		snprintf(page, sizeof page,
			 "[{\"type\":\"file\",\"size\":1,\"path\":\"%.*s\","
			 "\"oid\":\"%040d\"}]",
			 STR_ARG(path), 0);
		assert_int_equal(listing_add(&l, str_of(page), &e), 0);
	}
	assert_int_equal(listing_end(&l, &e), 0);
	out[0] = '\0';
	if (selection_make(&l, tag, &s, &e))
		snprintf(out, sizeof out, "%s", e.msg);
	for (size_t i = 0; i < s.n && (i == 0 ? !out[0] : used > 0); i++)
		used += (size_t)snprintf(out + used, sizeof out - used, "%s%s",
					 i ? "," : "", s.all[i].file->path);
	selection_fini(&s);
	listing_fini(&l);
	return out;
}

static void the_default_is_q4_k_m_else_the_first(void **state)
{
	(void)state;
	assert_string_equal(choose("b-Q8_0.gguf,a-Q4_K_M.gguf", "latest"),
			    "a-Q4_K_M.gguf");
	assert_string_equal(choose("b-Q8_0.gguf,a-Q6_K.gguf", "latest"),
			    "a-Q6_K.gguf");
	assert_string_equal(choose("only.gguf", "latest"), "only.gguf");
	assert_string_equal(choose("only.gguf", "main"), "only.gguf");
}

static void what_is_plain_goes_before_what_is_deep_or_dynamic(void **state)
{
	(void)state;
	assert_string_equal(
		choose("a/b/m-Q4_K_M.gguf,m-UD-Q4_K_M.gguf,m-Q4_K_M.gguf",
		       "q4_k_m"),
		"m-Q4_K_M.gguf");
	assert_string_equal(choose("m-UD-Q4_K_M.gguf,m-Q8_0.gguf", "Q4_K_M"),
			    "m-UD-Q4_K_M.gguf");
}

static void a_sidecar_is_no_model(void **state)
{
	(void)state;
	assert_string_equal(choose("imatrix.gguf,m-Q8_0.gguf,"
				   "mtp-Q4_K_M.gguf,mmproj-Q4_K_M.gguf",
				   "latest"),
			    "m-Q8_0.gguf,mmproj-Q4_K_M.gguf");
}

static void shards_of_two_models_are_not_mixed(void **state)
{
	static const char paths[] =
		"m-Q8_0-00001-of-00002.gguf,m-Q8_0-00001-of-00003.gguf,"
		"m-Q8_0-00002-of-00002.gguf,m-Q4_0-00001-of-00002.gguf,"
		"m-Q4_0-00002-of-00002.gguf";
	(void)state;
	assert_string_equal(
		choose(paths, "Q4_0"),
		"m-Q4_0-00001-of-00002.gguf,m-Q4_0-00002-of-00002.gguf");
	assert_string_equal(
		choose(paths, "Q8_0"),
		"m-Q8_0-00001-of-00002.gguf,m-Q8_0-00002-of-00002.gguf");
}

static void a_missing_shard_is_named(void **state)
{
	(void)state;
	assert_string_equal(
		choose("m-Q8_0-00001-of-00003.gguf,m-Q8_0-00003-of-00003.gguf",
		       "Q8_0"),
		"of m-Q8_0, file 2 of 3 is missing in the repository");
	assert_string_equal(
		choose("m-Q8_0-00002-of-00002.gguf", "latest"),
		"of m-Q8_0, file 1 of 2 is missing in the repository");
}

static void the_projector_and_the_template_near_it_come_along(void **state)
{
	(void)state;
	assert_string_equal(choose("a/m-Q8_0.gguf,a/mmproj-BF16.gguf,"
				   "b/mmproj-F16.gguf,a/x.jinja,"
				   "b/chat_template.jinja",
				   "Q8_0"),
			    "a/m-Q8_0.gguf,a/x.jinja,a/mmproj-BF16.gguf");
	assert_string_equal(choose("m-Q8_0.gguf,chat_template.json,a.jinja,"
				   "chat_template.jinja",
				   "Q8_0"),
			    "m-Q8_0.gguf,chat_template.jinja");
}

static void what_there_is_is_listed_once_and_not_without_end(void **state)
{
	static char paths[8000];
	size_t used = 0;
	(void)state;
	assert_string_equal(choose("a-Q8_0.gguf,a/b-Q8_0.gguf,c.gguf", "Q1_0"),
			    "there is no Q1_0; there is Q8_0, c");
	for (int i = 0; i < 100; i++)
		used += (size_t)snprintf(paths + used, sizeof paths - used,
					 "%sx-Q8_%02d.gguf", i ? "," : "", i);
	const char *got = choose(paths, "Q1_0");
	assert_true(strlen(got) < 220);
	assert_true(str_ends(str_of(got), ", ..."));
}

static void without_gguf_all_files_of_the_model_are_taken(void **state)
{
	static const char paths[] = "README.md,model.safetensors,"
				    "config.json,LICENSE.txt,a/b.jinja";
	(void)state;
	assert_string_equal(
		choose(paths, "latest"),
		"README.md,a/b.jinja,config.json,model.safetensors");
	assert_non_null(strstr(choose(paths, "Q4_K_M"), "not GGUF"));
	assert_string_equal(choose("README.md", "latest"),
			    "it has no model files (GGUF or safetensors)");
	assert_string_equal(choose("mmproj-F16.gguf", "latest"),
			    "it has no model files (GGUF or safetensors)");
}

/* No manifest could have them: told before anything is fetched. */
static void a_model_of_too_many_files_is_refused(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		struct listing l;
		struct selection s;
		struct err e;
		auto_buf struct buf page;
		listing_init(&l);
		buf_init(&page, LIMIT_HUB_ANSWER_BYTES);
		int full = buf_puts(&page, "[");
		for (size_t i = 0; i < LIMIT_LAYERS + more; i++)
			full |= buf_printf(&page,
					   "%s{\"type\":\"file\",\"size\":1,"
					   "\"path\":\"%zu.safetensors\","
					   "\"oid\":\"%040d\"}",
					   i ? "," : "", i, 0);
		assert_int_equal(full | buf_puts(&page, "]"), 0);
		assert_int_equal(listing_add(&l, buf_str(&page), &e), 0);
		assert_int_equal(listing_end(&l, &e), 0);
		assert_int_equal(selection_make(&l, "latest", &s, &e),
				 more ? -1 : 0);
		if (more)
			assert_int_equal(e.code, ERR_UNSUPPORTED);
		selection_fini(&s);
		listing_fini(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_is_q4_k_m_else_the_first),
		cmocka_unit_test(
			what_is_plain_goes_before_what_is_deep_or_dynamic),
		cmocka_unit_test(a_sidecar_is_no_model),
		cmocka_unit_test(shards_of_two_models_are_not_mixed),
		cmocka_unit_test(a_missing_shard_is_named),
		cmocka_unit_test(
			the_projector_and_the_template_near_it_come_along),
		cmocka_unit_test(
			what_there_is_is_listed_once_and_not_without_end),
		cmocka_unit_test(without_gguf_all_files_of_the_model_are_taken),
		cmocka_unit_test(a_model_of_too_many_files_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
