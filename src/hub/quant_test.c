#include "hub/quant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct quant_name parse(const char *path)
{
	struct quant_name q;
	assert_true(quant_parse(str_of(path), &q));
	return q;
}

static void expect(struct str got, const char *want)
{
	char text[200];
	snprintf(text, sizeof text, "%.*s", STR_ARG(got));
	assert_string_equal(text, want);
}

static void a_label_is_found_wherever_publishers_put_it(void **state)
{
	static const struct {
		const char *path, *label;
	} cases[] = {
		{ "SmolLM2-135M-Instruct-Q4_K_M.gguf", "Q4_K_M" },
		{ "mistral-7b-instruct-v0.2.Q5_K_S.gguf", "Q5_K_S" },
		{ "Qwen3-0.6B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL" },
		{ "ud-iq2_xxs.gguf", "ud-iq2_xxs" },
		{ "BUD-Q4_0.gguf", "Q4_0" },
		{ "ggml_model_q4_0.gguf", "q4_0" },
		{ "x-IQ3_XXS.gguf", "IQ3_XXS" },
		{ "x-TQ1_0.gguf", "TQ1_0" },
		{ "gpt-oss-20b-MXFP4.gguf", "MXFP4" },
		{ "x-BF16.gguf", "BF16" },
		{ "x.f16.gguf", "f16" },
		{ "x-Q4_0_4_4.gguf", "Q4_0_4_4" },
		{ "x-Q4_K_M-imat.gguf", "Q4_K_M" },
		{ "BF16/model.gguf", "BF16" },
		{ "UD-Q2_K_XL/m-00001-of-00002.gguf", "UD-Q2_K_XL" },
		{ "Q4_K_M/m-Q8_0.gguf", "Q8_0" },
		{ "Qwen2.5-7B.gguf", "" },
		{ "Q.gguf", "" },
		{ "Qx4.gguf", "" },
		{ "model.gguf", "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect(parse(cases[i].path).label, cases[i].label);
}

static void a_shard_says_which_of_how_many(void **state)
{
	struct quant_name q = parse("d/m-Q8_0-00002-of-00017.GGUF");
	(void)state;
	expect(q.stem, "d/m-Q8_0");
	assert_int_equal(q.shard, 2);
	assert_int_equal(q.n_shards, 17);
	static const char *const whole[] = {
		"m-00000-of-00002.gguf", "m-00003-of-00002.gguf",
		"m-0001-of-0002.gguf",	 "m-0000a-of-00002.gguf",
		"-00001-of-00002.gguf",	 "m_00001-of-00002.gguf",
	};
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		q = parse(whole[i]);
		assert_int_equal(q.n_shards, 1);
	}
}

static void what_is_no_gguf_is_not_parsed(void **state)
{
	struct quant_name q;
	(void)state;
	assert_false(quant_parse(STR(".gguf"), &q));
	assert_false(quant_parse(STR("x.gguf.txt"), &q));
	assert_false(quant_parse(STR("gguf"), &q));
	assert_false(quant_parse(STR(""), &q));
}

static void a_tag_fits_by_label_file_part_or_folder(void **state)
{
	static const struct {
		const char *path, *tag;
		enum quant_fit fit;
	} cases[] = {
		{ "m-Q4_K_M.gguf", "q4_k_m", QUANT_LABEL },
		{ "m-Q4_K_M.gguf", "Q4_K", QUANT_NOT },
		{ "m-Q4_K_M.gguf", "K_M", QUANT_NOT },
		{ "m-Q4_K_M.gguf", "M", QUANT_INSIDE },
		{ "m-UD-Q4_K_M.gguf", "Q4_K_M", QUANT_INSIDE },
		{ "m-UD-Q4_K_M.gguf", "ud-q4_k_m", QUANT_LABEL },
		{ "m_Q4_0-x-Q8_0.gguf", "Q4_0", QUANT_INSIDE },
		{ "a/m-v2.gguf", "M-V2", QUANT_FILE },
		{ "a/m-v2.gguf", "m-v2.gguf", QUANT_FILE },
		{ "a/small/m.gguf", "small", QUANT_FOLDER },
		{ "a/small/m.gguf", "b", QUANT_NOT },
		{ "m-Q8_0-00001-of-00002.gguf", "Q8_0", QUANT_LABEL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct quant_name q = parse(cases[i].path);
		assert_int_equal(quant_match(&q, cases[i].tag), cases[i].fit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_label_is_found_wherever_publishers_put_it),
		cmocka_unit_test(a_shard_says_which_of_how_many),
		cmocka_unit_test(what_is_no_gguf_is_not_parsed),
		cmocka_unit_test(a_tag_fits_by_label_file_part_or_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
