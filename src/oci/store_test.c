#include "oci/blob.h"
#include "base/limits.h"
#include "oci/store_make.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char *path_of(const struct fixture *f, const char *sub)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", f->dir, sub);
	return path;
}

static bool is_there(const struct fixture *f, const char *dir,
		     const struct digest *d)
{
	char sub[128];
	snprintf(sub, sizeof sub, "%s/%s", dir, d->hex);
	return access(path_of(f, sub), F_OK) == 0;
}

static void assert_file(const struct fixture *f, const char *sub,
			const char *want)
{
	char got[4096] = "";
	FILE *file = fopen(path_of(f, sub), "r");
	assert_non_null(file);
	assert_true(fread(got, 1, sizeof got - 1, file) > 0);
	fclose(file);
	assert_string_equal(got, want);
}

static void write_text(const struct fixture *f, const char *sub,
		       const char *text)
{
	FILE *file = fopen(path_of(f, sub), "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
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

/* A model of one config and one layer. */
static char *manifest_text(const struct digest *config, size_t config_bytes,
			   const struct digest *layer, size_t layer_bytes)
{
	return xasprintf("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":"
			 "{\"mediaType\":\"%s\",\"size\":%zu,\"digest\":"
			 "\"sha256:%s\"},\"layers\":[{\"mediaType\":\"x\","
			 "\"size\":%zu,\"digest\":\"sha256:%s\"}]}",
			 MANIFEST_MEDIA_TYPE, MANIFEST_CONFIG_V1, config_bytes,
			 config->hex, layer_bytes, layer->hex);
}

static struct digest add(struct fixture *f, const char *config,
			 const char *layer)
{
	struct err e;
	struct digest id, c = put(f, config), l = put(f, layer);
	auto_free char *text =
		manifest_text(&c, strlen(config), &l, strlen(layer));
	if (store_add(f->store, str_of(text), &id, &e))
		fail_msg("%s", e.msg);
	return id;
}

static void tag(struct fixture *f, const struct digest *id, const char *tag)
{
	struct err e;
	assert_int_equal(store_tag(f->store, id, tag, &e), 0);
}

/* "Untagged:a Untagged:b Deleted", or the error's text, or "absent". */
static const char *del(struct fixture *f, const char *name, bool force)
{
	static char text[1024];
	struct err e;
	struct ref r;
	struct arena a;
	struct store_removed removed;
	size_t n = 0;
	arena_init(&a);
	text[0] = '\0';
	assert_int_equal(ref_parse(str_of(name), NULL, &r, &e), 0);
	int outcome = store_delete(f->store, &r, name, force, &a, &removed, &e);
	if (outcome == STORE_ABSENT)
		snprintf(text, sizeof text, "absent");
	else if (outcome < 0)
		snprintf(text, sizeof text, "%s", e.msg);
	else {
		for (size_t i = 0; i < removed.n_untagged; i++)
			n += (size_t)snprintf(text + n, sizeof text - n,
					      "Untagged:%s ",
					      removed.untagged[i]);
		snprintf(text + n, sizeof text - n, "%s",
			 removed.is_deleted ? "Deleted" : "");
	}
	arena_fini(&a);
	return text;
}

/* ---- the tests ---- */

static void a_new_store_has_the_known_files(void **state)
{
	struct fixture *f = *state;
	assert_file(f, "layout.json", "{\n  \"version\": \"1.0.0\"\n}");
	assert_file(f, "models.json", "{\n  \"models\": []\n}");
}

static void a_store_can_be_created_several_folders_deep(void **state)
{
	struct fixture *f = *state;
	struct err e;
	auto_(store) s = NULL;
	assert_int_equal(store_open(path_of(f, "a/b/c/"), &s, &e), 0);
	assert_file(f, "a/b/c/models.json", "{\n  \"models\": []\n}");
	write_text(f, "file", "x");
	struct store *none = NULL;
	assert_int_equal(store_open(path_of(f, "file/x"), &none, &e), -1);
	assert_non_null(strstr(e.msg, "/file"));
}

static void an_existing_index_is_kept_or_may_be_missing(void **state)
{
	struct fixture *f = *state;
	struct err e;
	auto_(store) s = NULL;
	auto_(index) x = NULL;
	struct digest id = add(f, "config", "layer");
	assert_int_equal(store_open(f->dir, &s, &e), 0);
	assert_int_equal(store_index(s, &x, &e), 0);
	assert_int_equal(x->n, 1);
	assert_true(digest_eq(&x->models[0].id, &id));
	assert_int_equal(unlink(path_of(f, "models.json")), 0);
	index_free(steal(&x));
	assert_int_equal(store_index(s, &x, &e), 0);
	assert_int_equal(x->n, 0);
}

static void a_broken_index_is_said_and_not_replaced(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct index *x = NULL;
	write_text(f, "models.json", "{\"models\":[");
	assert_int_equal(store_index(f->store, &x, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "models.json"));
	struct digest d = digest_of(STR("x"));
	assert_int_equal(store_tag(f->store, &d, "t", &e), -1);
	assert_file(f, "models.json", "{\"models\":[");
}

static void the_bytes_of_an_index_are_limited(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct index *x = NULL;
	for (off_t n = LIMIT_INDEX_BYTES; n <= LIMIT_INDEX_BYTES + 1; n++) {
		assert_int_equal(truncate(path_of(f, "models.json"), n), 0);
		assert_int_equal(store_index(f->store, &x, &e), -1);
		bool is_too_large = strstr(e.msg, "is larger than") != NULL;
		assert_int_equal(is_too_large, n > LIMIT_INDEX_BYTES);
	}
}

static void a_blob_appears_only_when_it_is_right(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest d = digest_of(STR("hello"));
	struct blob *b = NULL;

	assert_int_equal(blob_begin(f->store, &d, 5, &b, &e), 0);
	assert_int_equal(blob_write(b, "hel", 3, &e), 0);
	assert_false(is_there(f, "blobs/sha256", &d));
	assert_int_equal(blob_write(b, "loo", 3, &e), -1);
	assert_non_null(strstr(e.msg, "longer"));
	blob_free(steal(&b));

	assert_int_equal(blob_begin(f->store, &d, 5, &b, &e), 0);
	assert_int_equal(blob_write(b, "hallo", 5, &e), 0);
	assert_int_equal(blob_commit(b, &e), -1);
	assert_non_null(strstr(e.msg, "blob digest mismatch for \"sha256:"));
	blob_free(steal(&b));

	assert_int_equal(blob_begin(f->store, &d, 5, &b, &e), 0);
	assert_int_equal(blob_write(b, "hell", 4, &e), 0);
	assert_int_equal(blob_commit(b, &e), -1);
	blob_free(steal(&b));
	assert_false(is_there(f, "blobs/sha256", &d));

	put(f, "hello");
	assert_true(is_there(f, "blobs/sha256", &d));
	/* Nothing is left of the three that failed: `rmdir` would say so. */
	assert_int_equal(
		unlink(path_of(f, "blobs/sha256/"
				  "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7"
				  "425e73043362938b9824")),
		0);
	assert_int_equal(rmdir(path_of(f, "blobs/sha256")), 0);
}

static void a_blob_that_is_there_is_compared_and_not_written(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct stat before, after;
	struct digest d = put(f, "hello");
	char sub[128];
	snprintf(sub, sizeof sub, "blobs/sha256/%s", d.hex);
	assert_int_equal(stat(path_of(f, sub), &before), 0);
	assert_int_equal(before.st_mode & 0777, 0644);
	put(f, "hello");
	assert_int_equal(stat(path_of(f, sub), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);

	auto_(blob) b = NULL;
	assert_int_equal(blob_begin(f->store, &d, 5, &b, &e), 0);
	assert_int_equal(blob_write(b, "HELLO", 5, &e), 0);
	assert_int_equal(blob_commit(b, &e), -1);
	assert_true(is_there(f, "blobs/sha256", &d));

	/* One that was cut is replaced. */
	write_text(f, sub, "hel");
	put(f, "hello");
	assert_file(f, sub, "hello");
}

static void a_manifest_needs_all_its_blobs(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest id, c = put(f, "config"), l = digest_of(STR("layer"));
	auto_free char *text = manifest_text(&c, 6, &l, 5);
	auto_free char *wrong = manifest_text(&c, 7, &l, 5);
	assert_int_equal(store_add(f->store, str_of(text), &id, &e), -1);
	assert_non_null(strstr(e.msg, "missing blob \"sha256:"));
	put(f, "layer");
	assert_int_equal(store_add(f->store, str_of(wrong), &id, &e), -1);
	assert_non_null(strstr(e.msg, "has 6 bytes, the manifest says 7"));
	assert_file(f, "models.json", "{\n  \"models\": []\n}");
	assert_int_equal(store_add(f->store, str_of(text), &id, &e), 0);
	assert_int_equal(store_add(f->store, str_of(text), &id, &e), 0);
	assert_true(is_there(f, "manifests/sha256", &id));
	auto_(index) x = NULL;
	assert_int_equal(store_index(f->store, &x, &e), 0);
	assert_int_equal(x->n, 1);
	assert_int_equal(x->models[0].n_files, 2);
	assert_true(digest_eq(&x->models[0].files[0], &l));
	assert_true(digest_eq(&x->models[0].files[1], &c));
}

static void what_changed_on_disk_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct err e;
	auto_buf struct buf text;
	buf_init(&text, 1000);
	struct digest id = add(f, "config", "layer");
	struct digest none = digest_of(STR("none")),
		      c = digest_of(STR("config"));
	assert_int_equal(store_read_manifest(f->store, &id, &text, &e), 0);
	buf_clear(&text);
	assert_int_equal(store_read_blob(f->store, &c, &text, &e), 0);
	assert_string_equal(text.p, "config");
	buf_clear(&text);
	assert_int_equal(store_read_blob(f->store, &none, &text, &e),
			 STORE_ABSENT);
	char sub[128];
	snprintf(sub, sizeof sub, "manifests/sha256/%s", id.hex);
	write_text(f, sub, "{}");
	assert_int_equal(store_read_manifest(f->store, &id, &text, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
}

static void deleting_by_tag_takes_the_model_with_the_last(void **state)
{
	struct fixture *f = *state;
	struct digest id = add(f, "config", "layer");
	tag(f, &id, "docker.io/ai/x:1");
	tag(f, &id, "docker.io/ai/x:2");
	assert_string_equal(del(f, "x:1", false), "Untagged:docker.io/ai/x:1 ");
	assert_true(is_there(f, "manifests/sha256", &id));
	assert_string_equal(del(f, "x:1", false), "absent");
	assert_string_equal(del(f, "x:2", false),
			    "Untagged:docker.io/ai/x:2 Deleted");
	assert_false(is_there(f, "manifests/sha256", &id));
	assert_file(f, "models.json", "{\n  \"models\": null\n}");
}

static void deleting_by_id_needs_force_for_several_tags(void **state)
{
	struct fixture *f = *state;
	struct digest id = add(f, "config", "layer");
	char short_id[13];
	snprintf(short_id, sizeof short_id, "%.12s", id.hex);
	tag(f, &id, "docker.io/ai/x:1");
	tag(f, &id, "docker.io/ai/x:2");
	assert_non_null(strstr(del(f, short_id, false),
			       "(must be forced) due to multiple tag "
			       "references: resource conflict"));
	assert_string_equal(del(f, short_id, true),
			    "Untagged:docker.io/ai/x:1 "
			    "Untagged:docker.io/ai/x:2 Deleted");
	id = add(f, "config", "layer");
	assert_string_equal(del(f, id.hex, false), "Deleted");
}

static void shared_blobs_stay_and_bundles_go(void **state)
{
	struct fixture *f = *state;
	struct digest a = add(f, "config a", "layer");
	struct digest b = add(f, "config b", "layer");
	struct digest layer = digest_of(STR("layer"));
	struct digest config = digest_of(STR("config a"));
	char sub[160];
	assert_int_equal(mkdir(path_of(f, "bundles"), 0755), 0);
	assert_int_equal(mkdir(path_of(f, "bundles/sha256"), 0755), 0);
	snprintf(sub, sizeof sub, "bundles/sha256/%s", a.hex);
	assert_int_equal(mkdir(path_of(f, sub), 0755), 0);
	snprintf(sub, sizeof sub, "bundles/sha256/%s/model", a.hex);
	assert_int_equal(mkdir(path_of(f, sub), 0755), 0);
	snprintf(sub, sizeof sub, "bundles/sha256/%s/model/model.gguf", a.hex);
	write_text(f, sub, "x");

	assert_string_equal(del(f, a.hex, false), "Deleted");
	assert_false(is_there(f, "bundles/sha256", &a));
	assert_false(is_there(f, "blobs/sha256", &config));
	assert_true(is_there(f, "blobs/sha256", &layer));
	assert_string_equal(del(f, b.hex, false), "Deleted");
	assert_false(is_there(f, "blobs/sha256", &layer));
}

static void old_leftovers_are_swept_and_new_ones_kept(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	put(f, "hello");
	write_text(f, "blobs/sha256/aa.incomplete", "x");
	write_text(f, "blobs/sha256/bb.incomplete", "x");
	write_text(f, "models.json.tmp-123", "x");
	utimensat(AT_FDCWD, path_of(f, "blobs/sha256/aa.incomplete"), old, 0);
	utimensat(AT_FDCWD, path_of(f, "models.json.tmp-123"), old, 0);
	auto_(store) s = NULL;
	assert_int_equal(store_open(f->dir, &s, &e), 0);
	assert_int_not_equal(
		access(path_of(f, "blobs/sha256/aa.incomplete"), F_OK), 0);
	assert_int_not_equal(access(path_of(f, "models.json.tmp-123"), F_OK),
			     0);
	assert_int_equal(access(path_of(f, "blobs/sha256/bb.incomplete"), F_OK),
			 0);
}

static void the_stamp_changes_with_the_index(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct store_stamp a, b;
	assert_int_equal(store_stamp(f->store, &a, &e), 0);
	assert_int_equal(store_stamp(f->store, &b, &e), 0);
	assert_memory_equal(&a, &b, sizeof a);
	add(f, "config", "layer");
	assert_int_equal(store_stamp(f->store, &b, &e), 0);
	assert_memory_not_equal(&a, &b, sizeof a);
}

static void usage_is_what_du_says(void **state)
{
	struct fixture *f = *state;
	struct err e;
	uint64_t got, want = 0;
	struct digest id = add(f, "config", "layer");
	char from[256], command[128], sub[128];
	snprintf(sub, sizeof sub, "manifests/sha256/%s", id.hex);
	snprintf(from, sizeof from, "%s", path_of(f, sub));
	assert_int_equal(link(from, path_of(f, "another-name")), 0);
	assert_int_equal(store_usage(f->store, &got, &e), 0);
	snprintf(command, sizeof command, "du -s -B1 %s", f->dir);
	FILE *du = popen(command, "r");
	assert_non_null(du);
	assert_int_equal(fscanf(du, "%lu", &want), 1);
	pclose(du);
	assert_int_equal(got, want);
}

enum { WRITERS = 4, TAGS = 15 };

static void tag_many(const char *dir, int writer)
{
	struct err e;
	auto_(store) s = NULL;
	struct digest id = digest_of(STR(""));
	auto_(index) x = NULL;
	if (store_open(dir, &s, &e) || store_index(s, &x, &e))
		_exit(1);
	id = x->models[0].id;
	for (int i = 0; i < TAGS; i++) {
		char text[64];
		snprintf(text, sizeof text, "docker.io/ai/w%d:%d", writer, i);
		if (store_tag(s, &id, text, &e))
			_exit(1);
	}
}

static void processes_that_tag_at_once_lose_nothing(void **state)
{
	struct fixture *f = *state;
	struct err e;
	pid_t pids[WRITERS];
	int status;
	add(f, "config", "layer");
	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			tag_many(f->dir, i);
			_exit(0);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	auto_(index) x = NULL;
	assert_int_equal(store_index(f->store, &x, &e), 0);
	assert_int_equal(x->models[0].n_tags, WRITERS * TAGS);
}

struct tagger {
	struct fixture *f;
	struct digest id;
	int number;
};

static void *tag_in_thread(void *ctx)
{
	struct tagger *t = ctx;
	struct err e;
	for (int i = 0; i < TAGS; i++) {
		char text[64];
		snprintf(text, sizeof text, "docker.io/ai/t%d:%d", t->number,
			 i);
		if (store_tag(t->f->store, &t->id, text, &e))
			return "failed";
	}
	return NULL;
}

static void threads_that_tag_at_once_lose_nothing(void **state)
{
	struct fixture *f = *state;
	struct err e;
	pthread_t threads[WRITERS];
	struct tagger taggers[WRITERS];
	struct digest id = add(f, "config", "layer");
	for (int i = 0; i < WRITERS; i++) {
		taggers[i] = (struct tagger){ f, id, i };
		assert_int_equal(pthread_create(&threads[i], NULL,
						tag_in_thread, &taggers[i]),
				 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		void *result;
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
	auto_(index) x = NULL;
	assert_int_equal(store_index(f->store, &x, &e), 0);
	assert_int_equal(x->models[0].n_tags, WRITERS * TAGS);
}

/* root may write anywhere but on a read-only mount, so another user tries. */
static int try_as_nobody(const char *dir)
{
	struct err e;
	auto_(store) s = NULL;
	auto_(index) x = NULL;
	struct digest d = digest_of(STR("x"));
	if (setgid(65534) || setuid(65534))
		return 1;
	if (store_open(dir, &s, &e) || store_index(s, &x, &e) || x->n != 1)
		return 2;
	if (store_tag(s, &d, "t", &e) != -1 || e.code != ERR_FORBIDDEN)
		return 3;
	return 0;
}

static void a_store_without_write_access_can_be_read(void **state)
{
	struct fixture *f = *state;
	int status;
	if (getuid() != 0)
		skip();
	add(f, "config", "layer");
	assert_int_equal(chmod(f->dir, 0755), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(try_as_nobody(f->dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, store_make, store_unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_store_has_the_known_files),
		TEST(a_store_can_be_created_several_folders_deep),
		TEST(an_existing_index_is_kept_or_may_be_missing),
		TEST(a_broken_index_is_said_and_not_replaced),
		TEST(the_bytes_of_an_index_are_limited),
		TEST(a_blob_appears_only_when_it_is_right),
		TEST(a_blob_that_is_there_is_compared_and_not_written),
		TEST(a_manifest_needs_all_its_blobs),
		TEST(what_changed_on_disk_is_not_believed),
		TEST(deleting_by_tag_takes_the_model_with_the_last),
		TEST(deleting_by_id_needs_force_for_several_tags),
		TEST(shared_blobs_stay_and_bundles_go),
		TEST(old_leftovers_are_swept_and_new_ones_kept),
		TEST(the_stamp_changes_with_the_index),
		TEST(usage_is_what_du_says),
		TEST(processes_that_tag_at_once_lose_nothing),
		TEST(threads_that_tag_at_once_lose_nothing),
		TEST(a_store_without_write_access_can_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
