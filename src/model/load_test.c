#include "model/load.h"
#include "oci/store_make.h"
#include "oci/sweep.h"
#include "model/tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BUILD(name)               \
	auto_buf struct buf name; \
	buf_init(&name, 64u << 20)

static void put(struct buf *b, const void *p, size_t n)
{
	assert_int_equal(buf_put(b, p, n), 0);
}

static void put_file(struct buf *b, const char *name, const char *contents)
{
	char block[TAR_BLOCK_BYTES];
	tar_header(block, name, 0666, strlen(contents));
	put(b, block, sizeof block);
	put(b, contents, strlen(contents));
	while (b->n % TAR_BLOCK_BYTES)
		put(b, "", 1);
}

static void put_blob(struct buf *b, const char *contents)
{
	char name[100];
	struct digest d = digest_of(str_of(contents));
	snprintf(name, sizeof name, "blobs/sha256/%s", d.hex);
	put_file(b, name, contents);
}

static void put_end(struct buf *b)
{
	put(b, (char[2 * TAR_BLOCK_BYTES]){ 0 }, 2 * TAR_BLOCK_BYTES);
}

#define CONFIG "{\"config\":{\"format\":\"gguf\"}}"

static char *manifest(const char *layer)
{
	struct digest c = digest_of(STR(CONFIG)), l = digest_of(str_of(layer));
	return xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{"
		"\"mediaType\":\"%s\",\"size\":%zu,\"digest\":\"sha256:%s\"},"
		"\"layers\":[{\"mediaType\":\"application/vnd.docker.ai.gguf."
		"v3\",\"size\":%zu,\"digest\":\"sha256:%s\"}]}",
		MANIFEST_MEDIA_TYPE, MANIFEST_CONFIG_V1, sizeof CONFIG - 1,
		c.hex, strlen(layer), l.hex);
}

static int load_pieces(struct fixture *f, const struct buf *b, size_t piece,
		       struct digest *id, struct err *e)
{
	auto_(load) l = load_new(f->store);
	for (size_t at = 0; at < b->n; at += piece) {
		struct str in = { b->p + at, MIN(piece, b->n - at) };
		if (load_feed(l, in, e))
			return -1;
	}
	return load_end(l, id, e);
}

static size_t n_models(struct fixture *f)
{
	struct err e;
	auto_(index) x = NULL;
	assert_int_equal(store_index(f->store, &x, &e), 0);
	return x->n;
}

static bool has_blob(struct fixture *f, const char *contents)
{
	struct err e;
	struct digest d = digest_of(str_of(contents));
	auto_buf struct buf text;
	buf_init(&text, 1 << 20);
	return store_read_blob(f->store, &d, &text, &e) == 0;
}

static void expect_wrong(struct fixture *f, const struct buf *b,
			 const char *words)
{
	struct err e;
	struct digest id;
	size_t before = n_models(f);
	assert_int_equal(load_pieces(f, b, 1000, &id, &e), -1);
	if (!strstr(e.msg, words))
		fail_msg("\"%s\" is not in: %s", words, e.msg);
	assert_int_equal(n_models(f), before);
}

static void a_model_comes_in_whatever_the_pieces(void **state)
{
	struct fixture *f = *state;
	static const size_t pieces[] = { 1, 511, 513, SIZE_MAX / 2 };
	auto_free char *text = manifest("layer");
	struct digest want = digest_of(str_of(text));
	BUILD(b);
	put_file(&b, "./README", "others are skipped");
	put_blob(&b, "layer");
	put_blob(&b, "layer");
	put_blob(&b, "");
	put_blob(&b, CONFIG);
	put_file(&b, "./manifest.json", text);
	put_end(&b);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct err e;
		struct digest id;
		if (load_pieces(f, &b, pieces[i], &id, &e))
			fail_msg("%s", e.msg);
		assert_true(digest_eq(&id, &want));
		assert_int_equal(n_models(f), 1);
	}
	assert_true(has_blob(f, "layer"));
	assert_true(has_blob(f, ""));
}

static void the_manifest_may_come_first(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest id;
	auto_free char *text = manifest("layer");
	BUILD(b);
	put_file(&b, "manifest.json", text);
	put_blob(&b, CONFIG);
	put_blob(&b, "layer");
	put_end(&b);
	assert_int_equal(load_pieces(f, &b, 512, &id, &e), 0);
	assert_int_equal(n_models(f), 1);
}

static void sweep(struct fixture *f, bool all)
{
	struct err e;
	struct sweep_report r;
	struct arena a;
	arena_init(&a);
	assert_int_equal(all ? sweep_purge(f->store, &a, &r, &e)
			     : sweep_prune(f->store, &a, &r, &e),
			 0);
	arena_fini(&a);
}

static void feed(struct load *l, const struct buf *b, size_t from, size_t to)
{
	struct err e;
	if (load_feed(l, (struct str){ b->p + from, to - from }, &e))
		fail_msg("%s", e.msg);
}

/* Whole blobs, and the one that is half there. */
static void a_sweep_leaves_what_a_load_brings_in(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest id;
	auto_free char *text = manifest("layer");
	for (int all = 0; all < 2; all++) {
		auto_(load) l = load_new(f->store);
		BUILD(b);
		put_blob(&b, "layer");
		put_blob(&b, CONFIG);
		size_t half = b.n - TAR_BLOCK_BYTES + 3;
		put_file(&b, "manifest.json", text);
		put_end(&b);
		feed(l, &b, 0, half);
		sweep(f, all);
		assert_true(has_blob(f, "layer"));
		feed(l, &b, half, b.n);
		if (load_end(l, &id, &e))
			fail_msg("%s", e.msg);
		assert_int_equal(n_models(f), 1);
	}
}

static void what_a_failed_load_brought_goes_with_the_next_sweep(void **state)
{
	struct fixture *f = *state;
	struct load *l = load_new(f->store);
	BUILD(b);
	put_blob(&b, "layer");
	feed(l, &b, 0, b.n);
	sweep(f, false);
	assert_true(has_blob(f, "layer"));
	load_free(l);
	assert_false(has_blob(f, "layer"));
	l = load_new(f->store);
	feed(l, &b, 0, b.n);
	load_free(l);
	assert_true(has_blob(f, "layer"));
	sweep(f, false);
	assert_false(has_blob(f, "layer"));
}

static void a_cut_archive_leaves_no_model(void **state)
{
	struct fixture *f = *state;
	auto_free char *text = manifest("layer");
	BUILD(b);
	put_blob(&b, "layer");
	put_blob(&b, CONFIG);
	put_file(&b, "manifest.json", text);
	/* Up to the end of the manifest's contents, without its padding. */
	for (size_t n = 1; n < 5 * 512 + strlen(text); n += 97) {
		struct err e;
		struct digest id;
		struct buf cut = b;
		cut.n = n;
		assert_int_equal(load_pieces(f, &cut, 4096, &id, &e), -1);
		assert_int_equal(n_models(f), 0);
	}
	b.n = 600;
	expect_wrong(f, &b, "model load interrupted: unexpected EOF");
	BUILD(none);
	put_blob(&none, "layer");
	put_end(&none);
	expect_wrong(f, &none, "read manifest: manifest not found");
}

static void wrong_contents_are_never_stored(void **state)
{
	struct fixture *f = *state;
	char name[100];
	struct digest d = digest_of(STR("right"));
	snprintf(name, sizeof name, "blobs/sha256/%s", d.hex);
	BUILD(b);
	put_file(&b, name, "wrong");
	put_end(&b);
	expect_wrong(f, &b, "writing blob: blob digest mismatch for \"sha256:");
	assert_false(has_blob(f, "right"));
	assert_false(has_blob(f, "wrong"));
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {
		"../x",
		"blobs/sha256/../../x",
		"blobs/..",
		"/etc/passwd",
		".//etc/passwd",
		"blobs/sha256/short",
		"blobs/sha256/",
		"blobs/sha256/a/b",
		"blobs/sha256/A123456789abcdef0123456789abcdef0123456789",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct err e;
		struct digest id;
		BUILD(b);
		put_file(&b, names[i],
			 names[i][strlen(names[i]) - 1] == '/' ? "" : "x");
		put_end(&b);
		assert_int_equal(load_pieces(f, &b, 4096, &id, &e), -1);
		assert_int_equal(n_models(f), 0);
	}
}

static void two_manifests_and_missing_blobs_are_refused(void **state)
{
	struct fixture *f = *state;
	auto_free char *text = manifest("layer");
	BUILD(twice);
	put_file(&twice, "manifest.json", text);
	put_file(&twice, "manifest.json", text);
	put_end(&twice);
	expect_wrong(f, &twice, "two manifests");
	BUILD(missing);
	put_blob(&missing, CONFIG);
	put_file(&missing, "manifest.json", text);
	put_end(&missing);
	expect_wrong(f, &missing, "missing blob");
	BUILD(size);
	char block[TAR_BLOCK_BYTES];
	tar_header(block, "manifest.json", 0666, LIMIT_MANIFEST_BYTES + 1);
	put(&size, block, sizeof block);
	auto_free char *spaces = xcalloc(1, LIMIT_MANIFEST_BYTES + 1);
	put(&size, spaces, LIMIT_MANIFEST_BYTES + 1);
	expect_wrong(f, &size, "larger than");
}

static void put_layout(struct buf *b, const char *manifest, int n)
{
	struct digest d = digest_of(str_of(manifest));
	auto_free char *entry = xasprintf("{\"digest\":\"sha256:%s\"}", d.hex);
	auto_free char *index =
		xasprintf("{\"manifests\":[%s%s%s]}", n ? entry : "",
			  n > 1 ? "," : "", n > 1 ? entry : "");
	put_file(b, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	put_file(b, "index.json", index);
	/* What `docker save` adds. */
	put_file(b, "manifest.json", "[{\"Config\":null}]");
	put_end(b);
}

static void an_oci_layout_comes_in_too(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest id;
	auto_free char *text = manifest("layer");
	struct digest want = digest_of(str_of(text));
	BUILD(b);
	put_blob(&b, "layer");
	put_blob(&b, CONFIG);
	put_blob(&b, text);
	put_layout(&b, text, 1);
	if (load_pieces(f, &b, 700, &id, &e))
		fail_msg("%s", e.msg);
	assert_true(digest_eq(&id, &want));
	assert_int_equal(n_models(f), 1);
	BUILD(absent);
	auto_free char *other = manifest("other");
	put_layout(&absent, other, 1);
	expect_wrong(f, &absent, "does not hold");
	BUILD(two);
	put_layout(&two, text, 2);
	expect_wrong(f, &two, "must name one model, not 2");
	BUILD(none);
	put_layout(&none, text, 0);
	expect_wrong(f, &none, "not 0");
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, store_make, store_unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_model_comes_in_whatever_the_pieces),
		TEST(the_manifest_may_come_first),
		TEST(an_oci_layout_comes_in_too),
		TEST(a_sweep_leaves_what_a_load_brings_in),
		TEST(what_a_failed_load_brought_goes_with_the_next_sweep),
		TEST(a_cut_archive_leaves_no_model),
		TEST(wrong_contents_are_never_stored),
		TEST(names_that_lead_elsewhere_are_refused),
		TEST(two_manifests_and_missing_blobs_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
