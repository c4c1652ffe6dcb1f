#include "oci/model_config.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* Reads a golden file, writes it again and compares. */
static struct model_config *read_golden(const char *name, struct buf *again)
{
	struct err e;
	char path[100], text[4096] = "";
	struct model_config *c = NULL;
	snprintf(path, sizeof path, "tests/data/store/%s", name);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s: run the tests from the top of the tree", path);
	assert_true(fread(text, 1, sizeof text - 1, f) > 0);
	fclose(f);
	assert_int_equal(model_config_parse(str_of(text), &c, &e), 0);
	assert_int_equal(model_config_write(c, again), 0);
	assert_string_equal(again->p, text);
	return c;
}

static void configs_of_docker_model_runner_keep_their_bytes(void **state)
{
	(void)state;
	auto_buf struct buf text;
	buf_init(&text, LIMIT_CONFIG_BLOB_BYTES);
	auto_(model_config) real = read_golden("config-smollm2.json", &text);
	/* As its manifest says. */
	struct digest d = digest_of(buf_str(&text));
	assert_string_equal(d.hex, "3f57370b9d27dbf21495468c3698e1aa48ed0c93bb7"
				   "63d77cfb17a644e3a8431");
	assert_int_equal(real->context_size, 8192);
	buf_clear(&text);
	auto_(model_config) c = read_golden("config-dummy.json", &text);
	assert_false(c->is_cncf);
	assert_int_equal(c->created_s, 1795363390);
	assert_string_equal(c->size, "864B");
	assert_int_equal(c->n_gguf, 15);
	assert_int_equal(c->n_diff_ids, 1);
	assert_string_equal(model_config_find(c, "some.parameter.int8"), "-19");
	assert_null(model_config_find(c, "some"));
	assert_true(str_starts(c->json, "{\"format\":\"gguf\","));
}

static void all_three_forms_are_read(void **state)
{
	(void)state;
	static const char v2[] =
		"{\"config\":{\"format\":\"safetensors\",\"quantization\":"
		"\"mixed\",\"parameters\":\"6.00\",\"size\":\"191.00B\","
		"\"safetensors\":{\"format\":\"pt\",\"tensor_count\":\"2\"},"
		"\"context_size\":2048},\"descriptor\":{\"created\":"
		"\"2026-11-22T16:05:24.559076175Z\"},\"rootfs\":{\"type\":"
		"\"rootfs\",\"diff_ids\":[\"sha256:" ZEROS "\"]}}";
	static const char cncf[] =
		"{\"descriptor\":{\"createdAt\":\"2026-11-22T17:05:24.699203901"
		"+01:00\",\"family\":\"llama\"},\"modelfs\":{\"type\":"
		"\"layers\",\"diffIds\":[\"sha256:" ZEROS "\",\"sha256:" ZEROS
		"\"]},\"config\":{\"architecture\":\"llama\",\"format\":"
		"\"gguf\",\"paramSize\":\"183\",\"quantization\":\"Unknown\"}}";
	struct err e;
	auto_(model_config) docker = NULL;
	auto_(model_config) pack = NULL;
	assert_int_equal(model_config_parse(str_of(v2), &docker, &e), 0);
	assert_int_equal(docker->context_size, 2048);
	assert_int_equal(docker->created_s, 1795363524);
	assert_string_equal(docker->architecture, "");
	assert_non_null(strstr(docker->json.p, "\"tensor_count\":\"2\""));

	assert_int_equal(model_config_parse(str_of(cncf), &pack, &e), 0);
	assert_true(pack->is_cncf);
	assert_int_equal(pack->created_s, 1795363524);
	assert_string_equal(pack->parameters, "183");
	assert_string_equal(pack->size, "183");
	assert_int_equal(pack->context_size, 0);
	assert_int_equal(pack->n_diff_ids, 2);
	/* And back, byte for byte. */
	auto_buf struct buf again;
	buf_init(&again, 4096);
	pack->architecture = "llama";
	assert_int_equal(model_config_write(pack, &again), 0);
	assert_string_equal(again.p, cncf);
}

static void wrong_configs_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"7",
		"{}",
		"{\"config\":[]}",
		"{\"config\":{\"format\":1}}",
		"{\"config\":{\"context_size\":\"8\"}}",
		"{\"config\":{\"context_size\":2147483648}}",
		"{\"config\":{\"context_size\":-1}}",
		"{\"config\":{\"gguf\":{\"a\":1}}}",
		"{\"config\":{\"gguf\":[]}}",
		"{\"config\":{},\"rootfs\":{\"diff_ids\":[1]}}",
		"{\"config\":{},\"descriptor\":{\"created\":3}}",
	};
	struct err e;
	struct model_config *c;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (model_config_parse(str_of(bad[i]), &c, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static void strings_are_escaped_as_go_does(void **state)
{
	(void)state;
	struct model_config c = {
		.created = "<\"\\\b\f\n\r\t\x01\x7f>&\xe2\x80\xa8\xff\xc3\xa4",
		.format = "",
		.quantization = "",
		.parameters = "",
		.architecture = "",
		.size = "",
	};
	auto_buf struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(model_config_write(&c, &out), 0);
	assert_string_equal(
		out.p,
		"{\"config\":{},\"descriptor\":{\"created\":\"\\u003c\\\"\\\\"
		"\\b\\f\\n\\r\\t\\u0001\x7f\\u003e\\u0026\\u2028\\ufffd\xc3\xa4"
		"\"},\"rootfs\":{\"type\":\"rootfs\",\"diff_ids\":[]}}");
}

static void the_number_of_bytes_is_limited(void **state)
{
	(void)state;
	static const char text[] = "{\"config\":{}}";
	auto_free char *padded = xcalloc(1, LIMIT_CONFIG_BLOB_BYTES + 1);
	memset(padded, ' ', LIMIT_CONFIG_BLOB_BYTES + 1);
	memcpy(padded, text, sizeof text - 1);
	for (size_t n = LIMIT_CONFIG_BLOB_BYTES;
	     n <= LIMIT_CONFIG_BLOB_BYTES + 1; n++) {
		struct err e;
		auto_(model_config) c = NULL;
		assert_int_equal(
			model_config_parse((struct str){ padded, n }, &c, &e),
			n > LIMIT_CONFIG_BLOB_BYTES ? -1 : 0);
	}
}

static void what_is_in_it_is_limited(void **state)
{
	(void)state;
	struct err e;
	struct model_config *c;
	auto_buf struct buf text;
	buf_init(&text, LIMIT_CONFIG_BLOB_BYTES);
	int full = buf_puts(&text, "{\"config\":{},\"a\":[0");
	for (size_t i = 0; i < LIMIT_CONFIG_MARKS / 2; i++)
		full |= buf_puts(&text, ",{}");
	assert_int_equal(full | buf_puts(&text, "]}"), 0);
	assert_int_equal(model_config_parse(buf_str(&text), &c, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
}

static void a_bad_time_is_no_time(void **state)
{
	(void)state;
	static const char *const times[] = { "", "yesterday", "2026-11-22",
					     "2026-11-22 16:05:24Z", "2026" };
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		char text[128];
		auto_(model_config) c = NULL;
		snprintf(text, sizeof text,
			 "{\"config\":{},\"descriptor\":{\"created\":\"%s\"}}",
			 times[i]);
		assert_int_equal(model_config_parse(str_of(text), &c, &e), 0);
		assert_int_equal(c->created_s, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			configs_of_docker_model_runner_keep_their_bytes),
		cmocka_unit_test(all_three_forms_are_read),
		cmocka_unit_test(wrong_configs_are_refused),
		cmocka_unit_test(strings_are_escaped_as_go_does),
		cmocka_unit_test(the_number_of_bytes_is_limited),
		cmocka_unit_test(what_is_in_it_is_limited),
		cmocka_unit_test(a_bad_time_is_no_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
