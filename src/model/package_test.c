#include "model/package.h"
#include "model/gguf_make.h"
#include "model/load.h"
#include "oci/store_make.h"
#include "oci/model_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <cmocka.h>

#define BUILD(name)               \
	auto_buf struct buf name; \
	buf_init(&name, 64u << 20)

static struct package *package(const struct package_options *o)
{
	struct err e;
	struct package *p = NULL;
	if (package_new(o, &p, &e))
		fail_msg("%s", e.msg);
	return p;
}

/* Through the tar, `piece` bytes at a time. */
static struct digest load(struct fixture *f, struct package *p, size_t piece)
{
	struct err e;
	struct digest id;
	auto_(load) l = load_new(f->store);
	auto_free char *bytes = xcalloc(1, piece);
	uint64_t sum = 0;
	size_t n = 0;
	do {
		if (package_tar_read(p, bytes, piece, &n, &e) ||
		    load_feed(l, (struct str){ bytes, n }, &e))
			fail_msg("%s", e.msg);
		sum += n;
	} while (n);
	assert_int_equal(sum, package_tar_bytes(p));
	if (load_end(l, &id, &e))
		fail_msg("%s", e.msg);
	return id;
}

static void read_back(struct fixture *f, const struct digest *id,
		      struct buf *manifest, struct buf *config)
{
	struct err e;
	auto_(manifest) m = NULL;
	assert_int_equal(store_read_manifest(f->store, id, manifest, &e), 0);
	assert_int_equal(manifest_parse(buf_str(manifest), &m, &e), 0);
	assert_int_equal(
		store_read_blob(f->store, &m->config.digest, config, &e), 0);
}

static void the_config_is_what_docker_model_runner_writes(void **state)
{
	struct fixture *f = *state;
	struct err e;
	char golden[2048] = "", want[2048];
	FILE *file = fopen("tests/data/store/config-dummy.json", "r");
	assert_non_null(file);
	assert_true(fread(golden, 1, sizeof golden - 1, file) > 0);
	fclose(file);

	BUILD(b);
	make_every_kind(&b);
	auto_free char *path = store_make_file(f, "dummy.gguf", b.p, b.n);
	auto_(package) p = package(&(struct package_options){ .gguf = path });
	struct digest id = load(f, p, 1000);
	BUILD(manifest);
	BUILD(config);
	read_back(f, &id, &manifest, &config);

	/* The same but for the time and for the digest of the file, whose own
	 * bytes are not known here. */
	auto_(model_config) c = NULL;
	assert_int_equal(model_config_parse(str_of(golden), &c, &e), 0);
	c->created = "1970-01-01T00:00:00Z";
	c->diff_ids[0] = digest_of(buf_str(&b));
	BUILD(same);
	assert_int_equal(model_config_write(c, &same), 0);
	snprintf(want, sizeof want, "%s", same.p);
	assert_string_equal(config.p, want);
}

static void the_manifest_has_all_kinds_in_order(void **state)
{
	struct fixture *f = *state;
	BUILD(b);
	make_small_model(&b);
	auto_free char *gguf = store_make_file(f, "m&m.gguf", b.p, b.n);
	auto_free char *one = store_make_file(f, "LICENSE", "one", 3);
	auto_free char *two = store_make_file(f, "NOTICE", "two", 3);
	auto_free char *template = store_make_file(f, "t.jinja", "{{}}", 4);
	auto_free char *mmproj = store_make_file(f, "p.mmproj", "GGUF", 4);
	const char *licences[] = { one, two };
	auto_(package) p = package(&(struct package_options){
		.gguf = gguf,
		.licences = licences,
		.n_licences = 2,
		.chat_template = template,
		.mmproj = mmproj,
		.context_size = 4096,
		.created_s = 1795363390,
	});
	struct digest id = load(f, p, 1);
	assert_true(digest_eq(&id, package_id(p)));
	BUILD(manifest);
	BUILD(config);
	read_back(f, &id, &manifest, &config);
	auto_(manifest) m = NULL;
	struct err e;
	static const enum manifest_kind kinds[] = {
		MANIFEST_GGUF, MANIFEST_LICENCE, MANIFEST_LICENCE,
		MANIFEST_TEMPLATE, MANIFEST_MMPROJ
	};
	assert_int_equal(manifest_parse(buf_str(&manifest), &m, &e), 0);
	assert_int_equal(m->n_layers, ARRAY_LEN(kinds));
	for (size_t i = 0; i < m->n_layers; i++)
		assert_int_equal(manifest_layer_kind(&m->layers[i]), kinds[i]);
	assert_string_equal(
		manifest_find(&m->layers[0],
			      "org.cncf.model.file.metadata+json"),
		"{\"name\":\"m\\u0026m.gguf\",\"mode\":420,\"uid\":0,\"gid\":0,"
		"\"size\":432,\"mtime\":\"1970-01-01T00:00:00Z\",\"typeflag\":"
		"0}");
	assert_string_equal(
		manifest_find(&m->layers[0],
			      "org.cncf.model.file.mediatype.untested"),
		"false");
	assert_string_equal(manifest_path(&m->layers[3]), "t.jinja");
	assert_non_null(strstr(config.p, "\"context_size\":4096}"));
	assert_non_null(
		strstr(config.p, "\"created\":\"2026-11-22T16:03:10Z\""));
}

static void the_same_bytes_give_the_same_id_everywhere(void **state)
{
	struct fixture *f = *state;
	BUILD(b);
	make_small_model(&b);
	auto_free char *first = store_make_file(f, "m.gguf", b.p, b.n);
	auto_(package) p = package(&(struct package_options){ .gguf = first });
	auto_free char *dir = xasprintf("%s/elsewhere", f->dir);
	auto_free char *second = xasprintf("%s/m.gguf", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(rename(first, second), 0);
	assert_int_equal(chmod(second, 0600), 0);
	auto_(package) q = package(&(struct package_options){ .gguf = second });
	assert_true(digest_eq(package_id(p), package_id(q)));
	/* Known for ever: a change of it is a change of what people pinned. */
	assert_string_equal(
		package_id(p)->hex,
		"e99759c5eb07016b4228d156355c8fea1f1fabcabf854481230ed301ca3f0939");
}

static void all_shards_are_taken_from_any_of_them(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct package *none;
	BUILD(b);
	make_small_model(&b);
	auto_free char *one =
		store_make_file(f, "m-00001-of-00003.gguf", b.p, b.n);
	auto_free char *two =
		store_make_file(f, "m-00002-of-00003.gguf", b.p, b.n);
	assert_int_equal(package_new(&(struct package_options){ .gguf = one },
				     &none, &e),
			 -1);
	assert_non_null(strstr(e.msg, "shard 3 of 3"));
	auto_free char *three =
		store_make_file(f, "m-00003-of-00003.gguf", b.p, b.n);
	auto_(package) p = package(&(struct package_options){ .gguf = two });
	auto_(package) q = package(&(struct package_options){ .gguf = three });
	assert_true(digest_eq(package_id(p), package_id(q)));
	struct digest id = load(f, p, 4096);
	BUILD(manifest);
	BUILD(config);
	read_back(f, &id, &manifest, &config);
	assert_non_null(strstr(config.p, "\"parameters\":\"768\""));
	assert_non_null(strstr(config.p, "\"size\":\"432B\""));
	auto_(manifest) m = NULL;
	assert_int_equal(manifest_parse(buf_str(&manifest), &m, &e), 0);
	assert_int_equal(m->n_layers, 3);
	assert_string_equal(manifest_path(&m->layers[2]),
			    "m-00003-of-00003.gguf");
}

static void wrong_files_are_named(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct package *p;
	auto_free char *text = store_make_file(f, "x.gguf", "hello", 5);
	assert_int_equal(
		package_new(&(struct package_options){ .gguf = text }, &p, &e),
		-1);
	assert_non_null(strstr(e.msg, "x.gguf: this is not a GGUF file"));
	assert_int_equal(
		package_new(&(struct package_options){ .gguf = "/nowhere/x" },
			    &p, &e),
		-1);
	assert_non_null(strstr(e.msg, "/nowhere/x: No such file"));
	assert_int_equal(
		package_new(&(struct package_options){ .gguf = f->dir }, &p,
			    &e),
		-1);
	assert_non_null(strstr(e.msg, "not a regular file"));
}

static void a_file_that_changes_meanwhile_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct err e;
	size_t n = 1;
	char bytes[512];
	BUILD(b);
	make_small_model(&b);
	auto_free char *path = store_make_file(f, "m.gguf", b.p, b.n);
	auto_(package) p = package(&(struct package_options){ .gguf = path });
	assert_int_equal(truncate(path, 100), 0);
	int result = 0;
	while (result == 0 && n)
		result = package_tar_read(p, bytes, sizeof bytes, &n, &e);
	assert_int_equal(result, -1);
	assert_non_null(strstr(e.msg, "became shorter"));
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, store_make, store_unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_config_is_what_docker_model_runner_writes),
		TEST(the_manifest_has_all_kinds_in_order),
		TEST(the_same_bytes_give_the_same_id_everywhere),
		TEST(all_shards_are_taken_from_any_of_them),
		TEST(wrong_files_are_named),
		TEST(a_file_that_changes_meanwhile_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
