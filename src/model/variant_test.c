#include "model/variant.h"
#include "base/json.h"
#include "oci/model_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ONE \
	"sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define TWO \
	"sha256:2222222222222222222222222222222222222222222222222222222222222222"

#define LAYER(type, digest, path)                                 \
	"{\"mediaType\":\"application/vnd." type                  \
	"\",\"size\":1000,\"digest\":\"" digest                   \
	"\",\"annotations\":{\"org.cncf.model.filepath\":\"" path \
	"\",\"mine\":\"kept\"}}"

static char *manifest(const char *config_type, const char *layers)
{
	return xasprintf(
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\","
		"\"size\":1,\"digest\":\"" ONE "\"},\"layers\":[%s]}",
		config_type, layers);
}

static const char docker[] =
	"{\"config\":{\"format\":\"gguf\",\"parameters\":\"7B\",\"new\":[1]},"
	"\"descriptor\":{\"created\":\"2026-01-02T03:04:05.5Z\",\"x\":1},"
	"\"more\":true}";
static const char cncf[] =
	"{\"descriptor\":{\"family\":\"f\"},\"modelfs\":{\"type\":\"layers\","
	"\"diffIds\":[\"" ONE "\"]},\"config\":{\"format\":\"gguf\","
	"\"paramSize\":\"7b\",\"capabilities\":{\"reasoning\":true}}}";

static void make(const char *type, const char *layers, const char *config,
		 const struct variant_change *c, struct artifact *out)
{
	struct err e = { 0 };
	auto_free char *m = manifest(type, layers);
	if (variant_make(str_of(m), str_of(config), c, out, &e))
		fail_msg("%s", e.msg);
}

static void what_is_not_known_stays(void **state)
{
	(void)state;
	struct artifact a;
	make(MANIFEST_CONFIG_V1,
	     LAYER("docker.ai.gguf.v3", ONE, "m.gguf") "," //
	     LAYER("docker.ai.strange", TWO, "s"),
	     docker, &(struct variant_change){ .context_size = 9 }, &a);
	assert_string_equal(
		a.config.p,
		"{\"config\":{\"format\":\"gguf\",\"parameters\":\"7B\","
		"\"new\":[1],\"context_size\":9},\"descriptor\":{\"created\":"
		"\"2026-01-02T03:04:05.5Z\",\"x\":1},\"more\":true,\"rootfs\":"
		"{\"type\":\"rootfs\",\"diff_ids\":[\"" ONE "\",\"" TWO
		"\"]}}");
	assert_string_equal(a.m.config.media_type, MANIFEST_CONFIG_V1);
	assert_string_equal(a.m.layers[1].media_type,
			    "application/vnd.docker.ai.strange");
	assert_string_equal(manifest_find(&a.m.layers[1], "mine"), "kept");
	assert_null(a.m.artifact_type);
	artifact_fini(&a);
	make(MANIFEST_CONFIG_CNCF, LAYER("cncf.model.weight.v1.raw", TWO, "m"),
	     cncf, &(struct variant_change){ 0 }, &a);
	assert_non_null(strstr(a.config.p, "\"reasoning\":true"));
	assert_non_null(strstr(a.config.p, "\"diffIds\":[\"" TWO "\"]"));
	assert_string_equal(a.m.artifact_type, MANIFEST_ARTIFACT_CNCF);
	artifact_fini(&a);
}

static void a_context_makes_dockers_form_of_a_cncf_model(void **state)
{
	(void)state;
	struct artifact a;
	/* Without a name its layer is of the config's format. */
	make(MANIFEST_CONFIG_CNCF,
	     LAYER("cncf.model.weight.v1.raw", ONE, "weights") "," //
	     LAYER("cncf.model.weight.config.v1.raw", TWO, "x.json"),
	     cncf, &(struct variant_change){ .context_size = 9 }, &a);
	assert_string_equal(
		a.config.p,
		"{\"config\":{\"format\":\"gguf\",\"parameters\":\"7b\","
		"\"size\":\"1000B\",\"context_size\":9},\"descriptor\":{"
		"\"created\":\"1970-01-01T00:00:00Z\"},\"rootfs\":{\"type\":"
		"\"rootfs\",\"diff_ids\":[\"" ONE "\",\"" TWO "\"]}}");
	assert_string_equal(a.m.config.media_type, MANIFEST_CONFIG_V2);
	assert_string_equal(a.m.layers[0].media_type,
			    "application/vnd.docker.ai.gguf.v3");
	assert_string_equal(a.m.layers[1].media_type,
			    "application/vnd.docker.ai.model.file");
	assert_string_equal(manifest_path(&a.m.layers[1]), "x.json");
	artifact_fini(&a);
}

static void dockers_form_becomes_cncfs(void **state)
{
	(void)state;
	struct artifact a;
	make(MANIFEST_CONFIG_V2, LAYER("docker.ai.gguf.v3", ONE, "m.gguf"),
	     docker, &(struct variant_change){ .form = VARIANT_CNCF }, &a);
	assert_string_equal(
		a.config.p,
		"{\"descriptor\":{\"createdAt\":\"2026-01-02T03:04:05.5Z\"},"
		"\"modelfs\":{\"type\":\"layers\",\"diffIds\":[\"" ONE
		"\"]},\"config\":{\"format\":\"gguf\",\"paramSize\":\"7B\"}}");
	assert_string_equal(a.m.layers[0].media_type,
			    "application/vnd.cncf.model.weight.v1.raw");
	artifact_fini(&a);
}

static void what_cannot_be_is_refused(void **state)
{
	(void)state;
	const struct variant_change context = { .context_size = 9 };
	const struct variant_change both = { VARIANT_CNCF, 9, NULL };
	static const char raw[] = LAYER("cncf.model.weight.v1.raw", ONE, "m");
	static const char tar[] = LAYER("cncf.model.weight.v1.tar", ONE, "m");
	const struct {
		const char *type, *layers, *config;
		const struct variant_change *change;
		const char *words;
	} bad[] = {
		{ MANIFEST_CONFIG_CNCF, tar, cncf, &context, "no place in" },
		{ MANIFEST_CONFIG_CNCF, raw, cncf, &both, "no place for a" },
		{ MANIFEST_CONFIG_V1, raw, docker, &both, "no place for a" },
		{ MANIFEST_CONFIG_CNCF, raw,
		  "{\"config\":{\"paramSize\":\"\","
		  "\"format\":\"onnx\"}}",
		  &context, "no place in" },
		{ MANIFEST_CONFIG_V1, raw, "{}", &context, "'config'" },
		{ MANIFEST_CONFIG_V1, raw, "", &context, "model config" },
		{ "x", raw, docker, &context, "not a model" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct artifact a;
		struct err e = { 0 };
		auto_free char *m = manifest(bad[i].type, bad[i].layers);
		assert_int_equal(variant_make(str_of(m), str_of(bad[i].config),
					      bad[i].change, &a, &e),
				 -1);
		if (!strstr(e.msg, bad[i].words))
			fail_msg("%s", e.msg);
		artifact_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_known_stays),
		cmocka_unit_test(a_context_makes_dockers_form_of_a_cncf_model),
		cmocka_unit_test(dockers_form_becomes_cncfs),
		cmocka_unit_test(what_cannot_be_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
