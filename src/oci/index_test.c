#include "oci/index.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct index *parse(const char *text)
{
	struct err e;
	struct index *x = NULL;
	if (index_parse(str_of(text), &x, &e))
		fail_msg("%s", e.msg);
	return x;
}

static struct digest numbered(int i)
{
	char text[16];
	snprintf(text, sizeof text, "%d", i);
	return digest_of(str_of(text));
}

static struct index_model *find(const struct index *x, const char *name)
{
	struct ref r;
	struct err e;
	assert_int_equal(ref_parse(str_of(name), NULL, &r, &e), 0);
	return index_find(x, &r);
}

static void an_index_of_docker_model_runner_keeps_its_bytes(void **state)
{
	(void)state;
	char text[2048] = "";
	FILE *f = fopen("tests/data/store/models.json", "r");
	assert_non_null(f);
	assert_in_range(fread(text, 1, sizeof text - 1, f), 400, 700);
	fclose(f);
	auto_(index) x = parse(text);
	auto_buf struct buf again;
	buf_init(&again, LIMIT_INDEX_BYTES);
	assert_int_equal(index_write(x, &again), 0);
	assert_string_equal(again.p, text);
	assert_non_null(find(x, "localhost:5000/ai/smollm2:135M-Q4_1"));
	assert_non_null(find(x, "5a96dbf73cc2"));
	assert_non_null(find(
		x, "any@sha256:"
		   "5a96dbf73cc29ef46fbe3d0b3e09b15ec6a238ecc3be99fc1eeda2a74"
		   "f7bf7ea"));
	assert_null(find(x, "localhost:5000/ai/smollm2:135m-q4_1"));
	assert_null(find(x, "5a96dbf73cc3"));
}

static void nothing_has_several_spellings(void **state)
{
	(void)state;
	static const char *const texts[] = { "null", "{}", "{\"models\":null}",
					     "{\"models\":[]}" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_(index) x = parse(texts[i]);
		auto_buf struct buf out;
		buf_init(&out, LIMIT_INDEX_BYTES);
		assert_int_equal(x->n, 0);
		assert_int_equal(index_write(x, &out), 0);
		assert_string_equal(out.p, "{\n  \"models\": null\n}");
	}
}

static void untagged_models_have_null_tags(void **state)
{
	(void)state;
	struct digest d = numbered(1);
	auto_(index) x = parse("null");
	auto_buf struct buf out;
	char want[512];
	buf_init(&out, LIMIT_INDEX_BYTES);
	index_add(x, &d, &d, 1);
	snprintf(want, sizeof want,
		 "{\n  \"models\": [\n    {\n      \"id\": \"sha256:%s\",\n"
		 "      \"tags\": null,\n      \"files\": [\n"
		 "        \"sha256:%s\"\n      ]\n    }\n  ]\n}",
		 d.hex, d.hex);
	assert_int_equal(index_write(x, &out), 0);
	assert_string_equal(out.p, want);
	auto_(index) again = parse(out.p);
	assert_int_equal(again->n, 1);
}

static void a_tag_moves_and_keeps_its_place(void **state)
{
	(void)state;
	auto_(index) x = parse("null");
	struct digest a = numbered(1), b = numbered(2);
	index_add(x, &a, NULL, 0);
	index_add(x, &b, NULL, 0);
	index_tag(x, &x->models[0], "docker.io/ai/x:1");
	index_tag(x, &x->models[0], "docker.io/ai/x:2");
	index_tag(x, &x->models[0], "docker.io/ai/x:1");
	assert_int_equal(x->models[0].n_tags, 2);
	assert_string_equal(x->models[0].tags[0], "docker.io/ai/x:1");

	index_tag(x, &x->models[1], "docker.io/ai/x:1");
	assert_int_equal(x->models[0].n_tags, 1);
	assert_string_equal(x->models[0].tags[0], "docker.io/ai/x:2");
	assert_ptr_equal(find(x, "ai/x:1"), &x->models[1]);
	index_remove(x, &x->models[0]);
	assert_int_equal(x->n, 1);
	assert_ptr_equal(find(x, "ai/x:1"), &x->models[0]);
	assert_null(find(x, "ai/x:2"));
}

static void the_old_name_of_hugging_face_is_made_new(void **state)
{
	(void)state;
	struct digest d = numbered(1);
	char text[256];
	snprintf(text, sizeof text,
		 "{\"models\":[{\"id\":\"sha256:%s\",\"tags\":[\"hf.co/a/b:c\"]"
		 ",\"files\":null}]}",
		 d.hex);
	auto_(index) x = parse(text);
	assert_string_equal(x->models[0].tags[0], "huggingface.co/a/b:c");
	assert_non_null(find(x, "hf.co/A/B:c"));
}

static void wrong_indexes_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"[]",
		"{\"models\":{}}",
		"{\"models\":[null]}",
		"{\"models\":[{\"id\":7}]}",
		"{\"models\":[{\"id\":\"sha256:../..\"}]}",
		"{\"models\":[{\"id\":\"sha256:"
		"5a96dbf73cc29ef46fbe3d0b3e09b15ec6a238ecc3be99fc1eeda2a74f7bf"
		"7ea\",\"tags\":\"x\"}]}",
		"{\"models\":[{\"id\":\"sha256:"
		"5a96dbf73cc29ef46fbe3d0b3e09b15ec6a238ecc3be99fc1eeda2a74f7bf"
		"7ea\",\"tags\":[1]}]}",
		"{\"models\":[{\"id\":\"sha256:"
		"5a96dbf73cc29ef46fbe3d0b3e09b15ec6a238ecc3be99fc1eeda2a74f7bf"
		"7ea\",\"files\":[\"sha256:x\"]}]}",
	};
	struct err e;
	struct index *x;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (index_parse(str_of(bad[i]), &x, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			an_index_of_docker_model_runner_keeps_its_bytes),
		cmocka_unit_test(nothing_has_several_spellings),
		cmocka_unit_test(untagged_models_have_null_tags),
		cmocka_unit_test(a_tag_moves_and_keeps_its_place),
		cmocka_unit_test(the_old_name_of_hugging_face_is_made_new),
		cmocka_unit_test(wrong_indexes_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
