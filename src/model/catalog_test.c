#include "model/catalog.h"
#include "oci/store_make.h"
#include "base/log.h"
#include "oci/blob.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <cmocka.h>

/* ---- models made of texts ---- */

static struct digest put(struct fixture *f, const char *text)
{
	struct err e;
	auto_(blob) b = NULL;
	struct digest d = digest_of(str_of(text));
	if (blob_begin(f->store, &d, strlen(text), &b, &e) ||
	    blob_write(b, text, strlen(text), &e) || blob_commit(b, &e))
		fail_msg("%s", e.msg);
	return d;
}

static void put_layer(struct fixture *f, struct buf *out, const char *type,
		      const char *path, const char *contents)
{
	struct digest d = put(f, contents);
	assert_int_equal(
		buf_printf(out,
			   "{\"mediaType\":\"application/vnd.%s\",\"size\":%zu,"
			   "\"digest\":\"sha256:%s\",\"annotations\":{\"org."
			   "cncf.model.filepath\":\"%s\"}}",
			   type, strlen(contents), d.hex, path),
		0);
}

/* A model with this config whose manifest has these layers. */
static struct digest add(struct fixture *f, const char *config,
			 const struct buf *layers)
{
	struct err e;
	struct digest id, c = put(f, config);
	auto_free char *text = xasprintf(
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\","
		"\"size\":%zu,\"digest\":\"sha256:%s\"},\"layers\":[%s]}",
		MANIFEST_CONFIG_V1, strlen(config), c.hex,
		layers->p ? layers->p : "");
	if (store_add(f->store, str_of(text), &id, &e))
		fail_msg("%s", e.msg);
	return id;
}

#define CONFIG                                                               \
	"{\"config\":{\"format\":\"gguf\",\"quantization\":\"MOSTLY_Q4_1\"," \
	"\"parameters\":\"134.52M\",\"architecture\":\"llama\",\"size\":"    \
	"\"92.10MiB\",\"gguf\":{\"tokenizer.chat_template\":\"{{}}\"},"      \
	"\"context_size\":8192},\"descriptor\":{\"created\":"                \
	"\"2026-11-22T16:03:10.974029288Z\"},\"rootfs\":{}}"

static struct digest add_plain(struct fixture *f, const char *layer,
			       const char *tag)
{
	struct err e;
	auto_buf struct buf layers;
	buf_init(&layers, 1 << 20);
	put_layer(f, &layers, "docker.ai.gguf.v3", "m.gguf", layer);
	struct digest id = add(f, CONFIG, &layers);
	if (tag)
		assert_int_equal(store_tag(f->store, &id, tag, &e), 0);
	return id;
}

static const struct catalog_model *find(struct catalog *c, struct arena *a,
					const char *name,
					enum catalog_match match)
{
	struct err e;
	const struct catalog_model *m = NULL;
	/* As one does on the loop. */
	if (!catalog_is_fresh(c) && catalog_refresh(c, &e))
		fail_msg("%s", e.msg);
	int outcome = catalog_find(c, str_of(name), match, a, &m, &e);
	if (outcome < 0)
		fail_msg("%s: %s", name, e.msg);
	return outcome == CATALOG_ABSENT ? NULL : m;
}

/* ---- the tests ---- */

static void names_are_found_by_the_rules(void **state)
{
	struct fixture *f = *state;
	static const char *const found[] = {
		"smollm2:135M-Q4_1",
		"ai/smollm2:135M-Q4_1",
		"docker.io/ai/smollm2:135M-Q4_1",
		"index.docker.io/ai/smollm2:135M-Q4_1",
		" SmolLM2:135M-Q4_1 ",
	};
	static const char *const absent[] = {
		"smollm2:135m-q4_1", "smollm2:latest",
		"ai/smollm2",	     "other",
		"no such name",	     "",
		"000000000000",
	};
	struct digest id =
		add_plain(f, "layer", "docker.io/ai/smollm2:135M-Q4_1");
	auto_(catalog) c = catalog_new(f->store, NULL);
	struct arena a;
	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(found); i++) {
		assert_non_null(find(c, &a, found[i], CATALOG_STRICT));
		assert_non_null(find(c, &a, found[i], CATALOG_LOOSE));
	}
	for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
		assert_null(find(c, &a, absent[i], CATALOG_STRICT));
		assert_null(find(c, &a, absent[i], CATALOG_LOOSE));
	}
	assert_null(find(c, &a, "smollm2", CATALOG_STRICT));
	assert_non_null(find(c, &a, "smollm2", CATALOG_LOOSE));
	assert_non_null(find(c, &a, "SmolLM2", CATALOG_LOOSE));

	char text[200];
	static const char *const forms[] = { "%.12s", "%s", "sha256:%s",
					     "anything@sha256:%s" };
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof text, forms[i], id.hex);
#pragma GCC diagnostic pop
		const struct catalog_model *m =
			find(c, &a, text, CATALOG_STRICT);
		assert_non_null(m);
		assert_true(digest_eq(&m->id, &id));
	}
	arena_fini(&a);
}

static void a_model_is_described_from_its_config_and_layers(void **state)
{
	struct fixture *f = *state;
	struct err e;
	auto_buf struct buf layers;
	buf_init(&layers, 1 << 20);
	put_layer(f, &layers, "docker.ai.gguf.v3", "m-1.gguf", "shard 1");
	assert_int_equal(buf_puts(&layers, ","), 0);
	put_layer(f, &layers, "docker.ai.license", "LICENSE", "licence");
	assert_int_equal(buf_puts(&layers, ","), 0);
	put_layer(f, &layers, "docker.ai.gguf.v3", "m-2.gguf", "shard two");
	assert_int_equal(buf_puts(&layers, ","), 0);
	put_layer(f, &layers, "docker.ai.mmproj", "p", "projector");
	assert_int_equal(buf_puts(&layers, ","), 0);
	put_layer(f, &layers, "docker.ai.chat.template.jinja", "t", "template");
	struct digest id = add(f, CONFIG, &layers);
	assert_int_equal(store_tag(f->store, &id, "docker.io/ai/x:1", &e), 0);
	assert_int_equal(store_tag(f->store, &id, "docker.io/ai/x:2", &e), 0);

	auto_(catalog) c = catalog_new(f->store, NULL);
	struct arena a;
	arena_init(&a);
	const struct catalog_model *m = find(c, &a, "x:2", CATALOG_STRICT);
	assert_non_null(m);
	assert_int_equal(m->n_tags, 2);
	assert_string_equal(m->tags[1], "docker.io/ai/x:2");
	assert_int_equal(m->created_s, 1795363390);
	assert_string_equal(m->format, "gguf");
	assert_string_equal(m->architecture, "llama");
	assert_string_equal(m->parameters, "134.52M");
	assert_string_equal(m->quantization, "MOSTLY_Q4_1");
	assert_string_equal(m->size, "92.10MiB");
	assert_int_equal(m->context_size, 8192);
	assert_true(str_starts(m->config, "{\"format\":\"gguf\","));
	assert_false(m->is_embedding);
	assert_true(m->has_template);
	assert_int_equal(m->n_weights, 2);
	assert_int_equal(m->weight_bytes, 16);
	struct digest two = digest_of(STR("shard two"));
	assert_true(m->weights[1][0] == '/');
	assert_non_null(strstr(m->weights[1], "/blobs/sha256/"));
	assert_true(str_ends(str_of(m->weights[1]), two.hex));
	assert_int_equal(access(m->weights[0], R_OK), 0);
	assert_int_equal(access(m->mmproj, R_OK), 0);
	assert_int_equal(m->mmproj_bytes, strlen("projector"));
	assert_int_equal(access(m->chat_template, R_OK), 0);
	assert_int_equal(m->n_licences, 1);
	assert_int_equal(access(m->licences[0], R_OK), 0);
	arena_fini(&a);
}

static void models_for_embeddings_are_told_by_their_metadata(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *config;
		bool is_embedding;
	} rows[] = {
		{ "{\"config\":{\"architecture\":\"nomic-bert\"}}", true },
		{ "{\"config\":{\"architecture\":\"gemma-embedding\"}}", true },
		{ "{\"config\":{\"architecture\":\"qwen3\",\"gguf\":{\"qwen3."
		  "pooling_type\":\"3\"}}}",
		  true },
		{ "{\"config\":{\"architecture\":\"qwen3\",\"gguf\":{\"qwen3."
		  "pooling_type\":\"0\"}}}",
		  false },
		{ "{\"config\":{\"architecture\":\"gemma3\"}}", false },
		{ "{\"config\":{}}", false },
	};
	auto_(catalog) c = catalog_new(f->store, NULL);
	struct arena a;
	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf none = { 0 };
		struct digest id = add(f, rows[i].config, &none);
		const struct catalog_model *m =
			find(c, &a, id.hex, CATALOG_STRICT);
		assert_int_equal(m->is_embedding, rows[i].is_embedding);
		assert_false(m->has_template);
	}
	arena_fini(&a);
}

static void changes_are_seen_at_once(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct ref r;
	struct store_removed removed;
	struct digest id = add_plain(f, "layer", NULL);
	auto_(catalog) c = catalog_new(f->store, NULL);
	/* Another handle on the folder: as another process would. */
	auto_(store) other = NULL;
	assert_int_equal(store_open(f->dir, &other, &e), 0);
	struct arena a;
	arena_init(&a);
	for (int i = 0; i < 50; i++) {
		char tag[64];
		snprintf(tag, sizeof tag, "docker.io/ai/x:%d", i % 10);
		assert_int_equal(store_tag(other, &id, tag, &e), 0);
		assert_non_null(find(c, &a, tag, CATALOG_STRICT));
		assert_int_equal(ref_parse(str_of(tag), NULL, &r, &e), 0);
		/* One more tag, so that the model stays. */
		assert_int_equal(store_tag(other, &id, "docker.io/ai/y:z", &e),
				 0);
		assert_int_equal(
			store_delete(other, &r, tag, false, &a, &removed, &e),
			0);
		assert_null(find(c, &a, tag, CATALOG_STRICT));
	}
	assert_int_equal(ref_parse(str_of(id.hex), NULL, &r, &e), 0);
	assert_int_equal(store_delete(other, &r, "", true, &a, &removed, &e),
			 0);
	assert_null(find(c, &a, id.hex, CATALOG_STRICT));
	arena_fini(&a);
}

static void the_list_has_all_but_the_broken(void **state)
{
	struct fixture *f = *state;
	struct err e;
	const struct catalog_model *models;
	size_t n = 7;
	auto_(catalog) c = catalog_new(f->store, NULL);
	struct arena a;
	arena_init(&a);
	assert_int_equal(catalog_list(c, &a, &models, &n, &e), 0);
	assert_int_equal(n, 0);
	add_plain(f, "one", "docker.io/ai/one:latest");
	struct digest broken = add_plain(f, "two", "docker.io/ai/two:latest");
	add_plain(f, "three", NULL);
	auto_free char *path =
		xasprintf("%s/manifests/sha256/%s", f->dir, broken.hex);
	assert_int_equal(unlink(path), 0);
	log_init("test", LOG_ERROR);
	assert_int_equal(catalog_list(c, &a, &models, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_string_equal(models[0].tags[0], "docker.io/ai/one:latest");
	assert_int_equal(models[1].n_tags, 0);
	const struct catalog_model *m;
	assert_int_equal(
		catalog_find(c, STR("two"), CATALOG_STRICT, &a, &m, &e), -1);
	assert_non_null(strstr(e.msg, "manifest is missing"));
	arena_fini(&a);
}

static void a_default_registry_is_used_for_short_names(void **state)
{
	struct fixture *f = *state;
	add_plain(f, "layer", "reg.local/ai/x:latest");
	auto_(catalog) c = catalog_new(f->store, "reg.local");
	struct arena a;
	arena_init(&a);
	assert_non_null(find(c, &a, "x", CATALOG_STRICT));
	assert_null(find(c, &a, "docker.io/ai/x", CATALOG_STRICT));
	arena_fini(&a);
}

/* ---- many models: the files are written straight, without syncing ---- */

static void write_many(struct fixture *f, int n)
{
	auto_free char *path = xasprintf("%s/models.json", f->dir);
	auto_free char *dir = xasprintf("%s/manifests", f->dir);
	auto_free char *sub = xasprintf("%s/manifests/sha256", f->dir);
	struct digest c = put(f, CONFIG), l = put(f, "layer");
	(void)!mkdir(dir, 0755);
	(void)!mkdir(sub, 0755);
	FILE *out = fopen(path, "w");
	fprintf(out, "{\n  \"models\": [");
	for (int i = 0; i < n; i++) {
		auto_free char *text = xasprintf(
			"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\","
			"\"size\":%zu,\"digest\":\"sha256:%s\"},\"layers\":[{"
			"\"mediaType\":\"application/vnd.docker.ai.gguf.v3\","
			"\"size\":5,\"digest\":\"sha256:%s\",\"annotations\":{"
			"\"n\":\"%d\"}}]}",
			MANIFEST_CONFIG_V1, sizeof CONFIG - 1, c.hex, l.hex, i);
		struct digest id = digest_of(str_of(text));
		auto_free char *manifest =
			xasprintf("%s/manifests/sha256/%s", f->dir, id.hex);
		FILE *file = fopen(manifest, "w");
		fputs(text, file);
		fclose(file);
		fprintf(out,
			"%s\n    {\"id\": \"sha256:%s\", \"tags\": "
			"[\"docker.io/ai/m%d:latest\"], \"files\": "
			"[\"sha256:%s\", \"sha256:%s\"]}",
			i ? "," : "", id.hex, i, l.hex, c.hex);
	}
	fprintf(out, "\n  ]\n}");
	fclose(out);
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

static double list_ms(struct catalog *c, size_t want)
{
	struct err e;
	const struct catalog_model *models;
	size_t n;
	struct arena a;
	arena_init(&a);
	double start = now_ms();
	assert_int_equal(catalog_list(c, &a, &models, &n, &e), 0);
	double ms = now_ms() - start;
	assert_int_equal(n, want);
	arena_fini(&a);
	return ms;
}

/* Twenty times the models may take no more than sixty times as long: generous
 * for a noisy machine, and far from the four hundred of a square. */
static void many_models_are_listed_in_linear_time(void **state)
{
	struct fixture *f = *state;
	struct arena a;
	write_many(f, 500);
	auto_(catalog) few = catalog_new(f->store, NULL);
	double few_ms = list_ms(few, 500);
	write_many(f, 10000);
	auto_(catalog) many = catalog_new(f->store, NULL);
	double many_ms = list_ms(many, 10000);
	double again_ms = list_ms(many, 10000);
	arena_init(&a);
	find(many, &a, "m9999", CATALOG_STRICT);
	double start = now_ms();
	for (int i = 0; i < 10000; i++) {
		assert_non_null(find(many, &a, "m9999", CATALOG_STRICT));
		arena_fini(&a);
	}
	double find_us = (now_ms() - start) / 10;
	struct err e;
	const struct catalog_model *m;
	assert_int_equal(
		catalog_find(many, STR("m1"), CATALOG_STRICT, &a, &m, &e), 0);
	assert_int_equal(store_tag(f->store, &m->id, "docker.io/ai/n:1", &e),
			 0);
	start = now_ms();
	assert_non_null(find(many, &a, "n:1", CATALOG_STRICT));
	print_message("500 listed in %.1f ms, 10,000 in %.1f ms, again in %.1f "
		      "ms; one found in %.2f us, after a change in %.1f ms\n",
		      few_ms, many_ms, again_ms, find_us, now_ms() - start);
	assert_true(many_ms < 60 * few_ms);
	arena_fini(&a);
}

/* Nothing is there to be read any more. */
static void a_look_up_after_a_refresh_reads_no_file(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct arena a;
	write_many(f, 100);
	auto_(catalog) c = catalog_new(f->store, NULL);
	assert_false(catalog_is_fresh(c));
	/* So that the index is no longer young. */
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	auto_free char *index = xasprintf("%s/models.json", f->dir);
	assert_int_equal(utimensat(AT_FDCWD, index, old, 0), 0);
	assert_int_equal(catalog_refresh(c, &e), 0);
	assert_true(catalog_is_fresh(c));
	auto_free char *from = xasprintf("%s/manifests", f->dir);
	auto_free char *to = xasprintf("%s/away", f->dir);
	assert_int_equal(rename(from, to), 0);
	arena_init(&a);
	for (int i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof name, "m%d", i);
		assert_non_null(find(c, &a, name, CATALOG_STRICT));
	}
	arena_fini(&a);
}

static void a_list_takes_no_place_of_what_is_used(void **state)
{
	struct fixture *f = *state;
	struct arena a;
	write_many(f, 10000);
	auto_(catalog) c = catalog_new(f->store, NULL);
	arena_init(&a);
	assert_non_null(find(c, &a, "m9999", CATALOG_STRICT));
	list_ms(c, 10000);
	auto_free char *from = xasprintf("%s/manifests", f->dir);
	auto_free char *to = xasprintf("%s/away", f->dir);
	assert_int_equal(rename(from, to), 0);
	assert_non_null(find(c, &a, "m9999", CATALOG_STRICT));
	arena_fini(&a);
}

static void *list_for_a_while(void *ctx)
{
	struct catalog *c = ctx;
	for (int i = 0; i < 20; i++)
		list_ms(c, 300);
	return NULL;
}

static void threads_may_share_a_catalogue(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[2];
	struct arena a;
	write_many(f, 300);
	auto_(catalog) c = catalog_new(f->store, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, list_for_a_while, c),
			0);
	arena_init(&a);
	for (int i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof name, "m%d", i);
		assert_non_null(find(c, &a, name, CATALOG_STRICT));
	}
	arena_fini(&a);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, store_make, store_unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_are_found_by_the_rules),
		TEST(a_model_is_described_from_its_config_and_layers),
		TEST(models_for_embeddings_are_told_by_their_metadata),
		TEST(changes_are_seen_at_once),
		TEST(the_list_has_all_but_the_broken),
		TEST(a_default_registry_is_used_for_short_names),
		TEST(many_models_are_listed_in_linear_time),
		TEST(a_look_up_after_a_refresh_reads_no_file),
		TEST(a_list_takes_no_place_of_what_is_used),
		TEST(threads_may_share_a_catalogue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
