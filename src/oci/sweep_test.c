#include "oci/sweep.h"
#include "oci/blob.h"
#include "oci/store_make.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <cmocka.h>

static const char *path_of(const struct fixture *f, const char *sub)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", f->dir, sub);
	return path;
}

static bool has(const struct fixture *f, const char *sub)
{
	return access(path_of(f, sub), F_OK) == 0;
}

static bool has_blob(const struct fixture *f, const struct digest *d)
{
	char sub[128];
	snprintf(sub, sizeof sub, "blobs/sha256/%s", d->hex);
	return has(f, sub);
}

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

/* A model of a config and a layer; `tag` may be NULL. */
static struct digest add(struct fixture *f, const char *config,
			 const char *layer, const char *tag)
{
	struct err e;
	struct digest id, c = put(f, config), l = put(f, layer);
	auto_free char *text = xasprintf(
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\","
		"\"size\":%zu,\"digest\":\"sha256:%s\"},\"layers\":[{"
		"\"mediaType\":\"x\",\"size\":%zu,\"digest\":\"sha256:%s\"}]}",
		MANIFEST_CONFIG_V1, strlen(config), c.hex, strlen(layer),
		l.hex);
	if (store_add(f->store, str_of(text), &id, &e) ||
	    (tag && store_tag(f->store, &id, tag, &e)))
		fail_msg("%s", e.msg);
	return id;
}

/* An old file that nobody finished; `fd` keeps it locked if wanted. */
static void leave(struct fixture *f, const char *name, int *fd)
{
	free(store_make_file(f, name, "half", 4));
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	assert_int_equal(utimensat(AT_FDCWD, path_of(f, name), old, 0), 0);
	if (fd) {
		*fd = open(path_of(f, name), O_RDONLY);
		assert_int_equal(flock(*fd, LOCK_EX), 0);
	}
}

static struct sweep_report prune(struct fixture *f, bool all)
{
	struct err e;
	struct arena a;
	struct sweep_report r;
	arena_init(&a);
	if (all ? sweep_purge(f->store, &a, &r, &e)
		: sweep_prune(f->store, &a, &r, &e))
		fail_msg("%s", e.msg);
	r.models = NULL;
	arena_fini(&a);
	return r;
}

static void only_what_tags_reach_remains(void **state)
{
	struct fixture *f = *state;
	struct digest kept = add(f, "config", "layer", "docker.io/ai/a:latest");
	struct digest gone = add(f, "config", "other layer", NULL);
	struct digest orphan = put(f, "orphan"), layer = put(f, "layer");
	struct digest other = put(f, "other layer");
	char manifest[128];
	snprintf(manifest, sizeof manifest, "manifests/sha256/%s", gone.hex);
	assert_true(has(f, manifest));
	struct sweep_report r = prune(f, false);
	assert_int_equal(r.n_models, 1);
	assert_int_equal(r.n_files, 3);
	assert_true(r.bytes > 0);
	assert_false(has(f, manifest));
	assert_false(has_blob(f, &orphan));
	assert_false(has_blob(f, &other));
	assert_true(has_blob(f, &layer));
	snprintf(manifest, sizeof manifest, "manifests/sha256/%s", kept.hex);
	assert_true(has(f, manifest));
	r = prune(f, false);
	assert_int_equal(r.n_files + r.n_models, 0);
}

static void what_is_being_fetched_stays(void **state)
{
	struct fixture *f = *state;
	int fd;
	struct digest leased = put(f, "leased");
	store_lease(f->store, &leased, 1);
	leave(f, "blobs/sha256/aa.incomplete", NULL);
	leave(f, "blobs/sha256/bb.incomplete", &fd);
	free(store_make_file(f, "blobs/sha256/cc.incomplete", "new", 3));
	leave(f, "blobs/sha256/README", NULL);
	prune(f, false);
	assert_true(has_blob(f, &leased));
	assert_false(has(f, "blobs/sha256/aa.incomplete"));
	assert_true(has(f, "blobs/sha256/bb.incomplete"));
	assert_true(has(f, "blobs/sha256/cc.incomplete"));
	assert_true(has(f, "blobs/sha256/README"));
	/* The one who counted on it is done, and no model came of it. */
	store_release(f->store, &leased, 1);
	assert_false(has_blob(f, &leased));
	close(fd);
}

/* Another open store is to this one as another process is. */
static void what_another_process_counts_on_stays(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct arena a;
	struct store_removed removed;
	struct ref r = { .kind = REF_ID };
	auto_(store) other = NULL;
	struct digest leased = put(f, "leased"),
		      layer = digest_of(STR("layer"));
	r.digest = add(f, "config", "layer", NULL);
	assert_int_equal(store_open(f->dir, &other, &e), 0);
	store_lease(other, &leased, 1);
	store_lease(other, &layer, 1);
	store_lease(other, &layer, 1);
	store_release(other, &layer, 1);
	arena_init(&a);
	assert_int_equal(
		store_delete(f->store, &r, "x", false, &a, &removed, &e), 0);
	arena_fini(&a);
	prune(f, false);
	assert_true(has_blob(f, &leased) && has_blob(f, &layer));
	/* It goes with the one who held it, also when that one is killed. */
	store_release(other, &leased, 1);
	store_free(steal(&other));
	prune(f, false);
	assert_false(has_blob(f, &leased) || has_blob(f, &layer));
}

static void leases_outlive_a_folder_that_was_removed(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest one = put(f, "one");
	store_lease(f->store, &one, 1);
	assert_int_equal(unlink(path_of(f, ".leases")), 0);
	struct digest two = put(f, "two");
	store_lease(f->store, &two, 1);
	auto_(store) other = NULL;
	assert_int_equal(store_open(f->dir, &other, &e), 0);
	struct arena a;
	struct sweep_report report;
	arena_init(&a);
	assert_int_equal(sweep_prune(other, &a, &report, &e), 0);
	arena_fini(&a);
	assert_true(has_blob(f, &two));
	store_release(f->store, &one, 1);
	store_release(f->store, &two, 1);
}

static void remains_in_the_root_go_and_foreign_files_stay(void **state)
{
	struct fixture *f = *state;
	char foreign[65];
	memset(foreign, 'a', 64);
	foreign[64] = '\0';
	leave(f, "models.json.tmp-0123", NULL);
	free(store_make_file(f, "models.json.tmp-new", "x", 1));
	leave(f, foreign, NULL);
	prune(f, false);
	assert_false(has(f, "models.json.tmp-0123"));
	assert_true(has(f, "models.json.tmp-new"));
	assert_true(has(f, foreign));
	prune(f, true);
	assert_false(has(f, "models.json.tmp-new"));
	assert_true(has(f, foreign));
}

static void a_purge_leaves_an_empty_store(void **state)
{
	struct fixture *f = *state;
	struct err e;
	auto_(index) x = NULL;
	struct digest id = add(f, "config", "layer", "docker.io/ai/a:latest");
	char bundle[128], file[160];
	snprintf(bundle, sizeof bundle, "bundles/sha256/%s", id.hex);
	snprintf(file, sizeof file, "%s/config.json", bundle);
	mkdir(path_of(f, "bundles"), 0755);
	mkdir(path_of(f, "bundles/sha256"), 0755);
	mkdir(path_of(f, bundle), 0755);
	free(store_make_file(f, file, "{}", 2));
	free(store_make_file(f, "blobs/sha256/cc.incomplete", "new", 3));
	struct sweep_report r = prune(f, true);
	assert_int_equal(r.n_models, 1);
	assert_false(has(f, bundle));
	assert_false(has(f, "blobs/sha256/cc.incomplete"));
	assert_true(has(f, "layout.json"));
	assert_int_equal(store_index(f->store, &x, &e), 0);
	assert_int_equal(x->n, 0);
	/* It is still a store. */
	add(f, "config", "layer", "docker.io/ai/a:latest");
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, store_make, store_unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_what_tags_reach_remains),
		TEST(what_is_being_fetched_stays),
		TEST(what_another_process_counts_on_stays),
		TEST(leases_outlive_a_folder_that_was_removed),
		TEST(remains_in_the_root_go_and_foreign_files_stay),
		TEST(a_purge_leaves_an_empty_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
