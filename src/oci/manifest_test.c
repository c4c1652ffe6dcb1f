#include "oci/manifest.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ID "5a96dbf73cc29ef46fbe3d0b3e09b15ec6a238ecc3be99fc1eeda2a74f7bf7ea"
#define CONFIG                                            \
	"\"config\":{\"mediaType\":\"" MANIFEST_CONFIG_V1 \
	"\",\"size\":1,\"digest\":\"sha256:" ID "\"}"

static void read_data(const char *name, struct buf *out)
{
	char path[200], piece[4096];
	size_t n;
	snprintf(path, sizeof path, "tests/data/store/%s", name);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s: run the tests from the top of the tree", path);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		assert_int_equal(buf_put(out, piece, n), 0);
	fclose(f);
}

static void a_manifest_of_docker_model_runner_keeps_its_bytes(void **state)
{
	(void)state;
	struct err e;
	auto_(manifest) m = NULL;
	auto_buf struct buf text, again;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	buf_init(&again, LIMIT_MANIFEST_BYTES);
	read_data("manifest.json", &text);
	assert_int_equal(manifest_parse(buf_str(&text), &m, &e), 0);
	assert_int_equal(manifest_write(m, &again), 0);
	assert_string_equal(again.p, text.p);
	struct digest id = digest_of(buf_str(&again));
	assert_string_equal(id.hex, ID);

	assert_int_equal(m->n_layers, 2);
	assert_int_equal(m->layers[0].bytes, 98362432);
	assert_int_equal(manifest_layer_kind(&m->layers[0]), MANIFEST_GGUF);
	assert_int_equal(manifest_layer_kind(&m->layers[1]), MANIFEST_LICENCE);
	assert_string_equal(manifest_path(&m->layers[0]),
			    "SmolLM2-135M-Instruct.Q4_1.gguf");
	assert_null(manifest_find(&m->layers[0], "other"));
}

static void an_artifact_type_comes_after_the_media_type(void **state)
{
	(void)state;
	static const char text[] =
		"{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_MEDIA_TYPE
		"\",\"artifactType\":\"a/b\"," CONFIG ",\"layers\":[]}";
	struct err e;
	auto_(manifest) m = NULL;
	auto_buf struct buf again;
	buf_init(&again, LIMIT_MANIFEST_BYTES);
	assert_int_equal(manifest_parse(str_of(text), &m, &e), 0);
	assert_int_equal(manifest_write(m, &again), 0);
	assert_string_equal(again.p, text);
}

static void wrong_manifests_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err_code code;
	} bad[] = {
		{ "", ERR_INVALID },
		{ "[]", ERR_INVALID },
		{ "{}", ERR_INVALID },
		{ "{\"schemaVersion\":1," CONFIG ",\"layers\":[]}",
		  ERR_INVALID },
		{ "{" CONFIG ",\"layers\":[]}", ERR_INVALID },
		{ "{\"schemaVersion\":2,\"layers\":[]}", ERR_INVALID },
		{ "{\"schemaVersion\":2," CONFIG "}", ERR_INVALID },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{}]}",
		  ERR_INVALID },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"x\",\"size\":-1,\"digest\":"
		  "\"sha256:" ID "\"}]}",
		  ERR_INVALID },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"x\",\"size\":1,\"digest\":"
		  "\"sha256:../../etc\"}]}",
		  ERR_INVALID },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"x\",\"size\":1,\"digest\":"
		  "\"sha256:" ID "\",\"annotations\":{\"a\":1}}]}",
		  ERR_INVALID },
		{ "{\"schemaVersion\":2,\"manifests\":[]}", ERR_UNSUPPORTED },
		{ "{\"schemaVersion\":2,\"mediaType\":\"x\"," CONFIG
		  ",\"layers\":[]}",
		  ERR_UNSUPPORTED },
		{ "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"x\","
		  "\"size\":1,\"digest\":\"sha256:" ID "\"},\"layers\":[]}",
		  ERR_UNSUPPORTED },
	};
	struct err e;
	struct manifest *m;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (manifest_parse(str_of(bad[i].text), &m, &e) == 0)
			fail_msg("taken: %s", bad[i].text);
		assert_int_equal(e.code, bad[i].code);
	}
}

static void the_number_of_layers_is_limited(void **state)
{
	(void)state;
	struct err e;
	for (size_t n = LIMIT_LAYERS; n <= LIMIT_LAYERS + 1; n++) {
		auto_(manifest) m = NULL;
		auto_buf struct buf text;
		buf_init(&text, LIMIT_MANIFEST_BYTES);
		int full = buf_puts(&text, "{\"schemaVersion\":2," CONFIG
					   ",\"layers\":[");
		for (size_t i = 0; i < n; i++)
			full |= buf_printf(&text,
					   "%s{\"mediaType\":\"x\",\"size\":1,"
					   "\"digest\":\"sha256:" ID "\"}",
					   i ? "," : "");
		assert_int_equal(full | buf_puts(&text, "]}"), 0);
		assert_int_equal(manifest_parse(buf_str(&text), &m, &e),
				 n > LIMIT_LAYERS ? -1 : 0);
	}
}

static void what_is_in_it_is_limited(void **state)
{
	(void)state;
	struct err e;
	struct manifest *m;
	auto_buf struct buf text;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	int full = buf_puts(&text, "{\"schemaVersion\":2," CONFIG
				   ",\"layers\":[],\"a\":[0");
	for (size_t i = 0; i < LIMIT_MANIFEST_MARKS / 2; i++)
		full |= buf_puts(&text, ",{}");
	assert_int_equal(full | buf_puts(&text, "]}"), 0);
	assert_int_equal(manifest_parse(buf_str(&text), &m, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
}

static void the_number_of_bytes_is_limited(void **state)
{
	(void)state;
	struct err e;
	struct manifest *m;
	char *text = xcalloc(1, LIMIT_MANIFEST_BYTES + 1);
	memset(text, ' ', LIMIT_MANIFEST_BYTES + 1);
	assert_int_equal(
		manifest_parse((struct str){ text, LIMIT_MANIFEST_BYTES + 1 },
			       &m, &e),
		-1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	assert_int_equal(
		manifest_parse((struct str){ text, LIMIT_MANIFEST_BYTES }, &m,
			       &e),
		-1);
	assert_int_equal(e.code, ERR_INVALID);
	free(text);
}

static void layers_are_told_by_type_and_name(void **state)
{
	(void)state;
#define D "application/vnd.docker.ai."
#define C "application/vnd.cncf.model."
	static const struct {
		const char *type;
		const char *path;
		enum manifest_kind kind;
	} rows[] = {
		{ D "gguf.v3", NULL, MANIFEST_GGUF },
		{ D "gguf.v3", "mmproj-F16.gguf", MANIFEST_MMPROJ },
		{ D "mmproj", "x", MANIFEST_MMPROJ },
		{ D "safetensors", NULL, MANIFEST_SAFETENSORS },
		{ D "dduf", NULL, MANIFEST_DDUF },
		{ D "license", NULL, MANIFEST_LICENCE },
		{ D "chat.template.jinja", NULL, MANIFEST_TEMPLATE },
		{ D "model.file", "a.gguf", MANIFEST_FILE },
		{ C "weight.v1.gguf", "x", MANIFEST_GGUF },
		{ C "weight.v1.safetensors", "x", MANIFEST_SAFETENSORS },
		{ C "weight.v1.raw", "a/b.GGUF", MANIFEST_GGUF },
		{ C "weight.v1.raw", "a.safetensors", MANIFEST_SAFETENSORS },
		{ C "weight.v1.raw", "a.dduf", MANIFEST_DDUF },
		{ C "weight.v1.raw", "x.mmproj", MANIFEST_MMPROJ },
		{ C "weight.v1.raw", NULL, MANIFEST_WEIGHTS },
		{ C "weight.config.v1.raw", "chat_template.txt",
		  MANIFEST_TEMPLATE },
		{ C "weight.config.v1.raw", "t.jinja", MANIFEST_TEMPLATE },
		{ C "weight.config.v1.raw", "config.json", MANIFEST_FILE },
		{ C "doc.v1.raw", "LICENSE", MANIFEST_LICENCE },
		{ C "doc.v1.raw", "README.md", MANIFEST_FILE },
		{ "text/plain", "x.gguf", MANIFEST_FILE },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct manifest_annotation path = { "org.cncf.model.filepath",
						    rows[i].path };
		struct manifest_blob layer = {
			.media_type = rows[i].type,
			.annotations = &path,
			.n_annotations = rows[i].path ? 1 : 0,
		};
		assert_int_equal(manifest_layer_kind(&layer), rows[i].kind);
	}
}

static void layers_are_read_as_they_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		enum manifest_kind kind;
	} files[] = {
		{ "a/m.GGUF", MANIFEST_GGUF },
		{ "m-mmproj-f16.gguf", MANIFEST_MMPROJ },
		{ "p.mmproj", MANIFEST_MMPROJ },
		{ "mmproj/m.gguf", MANIFEST_GGUF },
		{ "m.safetensors", MANIFEST_SAFETENSORS },
		{ "license.safetensors", MANIFEST_SAFETENSORS },
		{ "m.dduf", MANIFEST_DDUF },
		{ "x.jinja", MANIFEST_TEMPLATE },
		{ "chat_template.json", MANIFEST_TEMPLATE },
		{ "LICENSE.md", MANIFEST_LICENCE },
		{ "licenses/a.txt", MANIFEST_FILE },
		{ "mmproj.txt", MANIFEST_FILE },
		{ "model.safetensors.index.json", MANIFEST_FILE },
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct manifest_annotation path = { "org.cncf.model.filepath",
						    files[i].path };
		enum manifest_kind kind = manifest_name_kind(files[i].path);
		if (kind != files[i].kind)
			fail_msg("%s", files[i].path);
		struct manifest_blob layer = {
			.media_type = manifest_layer_type(kind, false),
			.annotations = &path,
			.n_annotations = 1,
		};
		assert_int_equal(manifest_layer_kind(&layer), files[i].kind);
	}
	assert_null(manifest_layer_type(MANIFEST_WEIGHTS, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_manifest_of_docker_model_runner_keeps_its_bytes),
		cmocka_unit_test(an_artifact_type_comes_after_the_media_type),
		cmocka_unit_test(wrong_manifests_are_refused),
		cmocka_unit_test(the_number_of_layers_is_limited),
		cmocka_unit_test(the_number_of_bytes_is_limited),
		cmocka_unit_test(what_is_in_it_is_limited),
		cmocka_unit_test(layers_are_told_by_type_and_name),
		cmocka_unit_test(layers_are_read_as_they_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
