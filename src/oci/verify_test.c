#include "oci/verify.h"
#include "base/limits.h"
#include "oci/blob.h"
#include "oci/store_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <cmocka.h>

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

static size_t n_more;

/* Goes through all; gives the number of bad files, the last one in *bad. */
static size_t run(struct fixture *f, size_t *n, struct verify_step *bad)
{
	struct err e;
	auto_(verify) v = NULL;
	struct verify_step step;
	size_t n_bad = 0;
	int got;
	assert_int_equal(verify_new(f->store, &v, &e), 0);
	*n = verify_count(v);
	while ((got = verify_next(v, &step)) != VERIFY_END) {
		n_more += got == VERIFY_MORE;
		if (got != VERIFY_BAD)
			continue;
		*bad = step;
		n_bad++;
	}
	return n_bad;
}

static void every_file_is_read_once(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct digest id, c = put(f, "config"), l = put(f, "layer");
	struct verify_step bad;
	size_t n;
	auto_free char *text = xasprintf(
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\","
		"\"size\":6,\"digest\":\"sha256:%s\"},\"layers\":[{"
		"\"mediaType\":\"x\",\"size\":5,\"digest\":\"sha256:%s\"}]}",
		MANIFEST_CONFIG_V1, c.hex, l.hex);
	assert_int_equal(run(f, &n, &bad), 0);
	assert_int_equal(n, 2);
	if (store_add(f->store, str_of(text), &id, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(run(f, &n, &bad), 0);
	assert_int_equal(n, 3);

	auto_free char *name = xasprintf("blobs/sha256/%s", l.hex);
	auto_free char *path = store_make_file(f, name, "laxer", 5);
	assert_int_equal(run(f, &n, &bad), 1);
	assert_true(digest_eq(&bad.digest, &l));
	assert_non_null(strstr(bad.problem, "changed"));
	assert_int_equal(bad.bytes, 5);

	unlink(path);
	assert_int_equal(run(f, &n, &bad), 1);
	assert_int_equal(n, 3);
	assert_string_equal(bad.problem, "it is missing");
}

static void a_large_file_is_read_in_parts(void **state)
{
	struct fixture *f = *state;
	struct err e;
	auto_(blob) b = NULL;
	struct verify_step bad;
	size_t n, bytes = LIMIT_VERIFY_STEP_BYTES + 1;
	auto_free char *all = xcalloc(1, bytes);
	struct digest d = digest_of((struct str){ all, bytes });
	assert_int_equal(blob_begin(f->store, &d, bytes, &b, &e), 0);
	assert_int_equal(blob_write(b, all, bytes, &e), 0);
	assert_int_equal(blob_commit(b, &e), 0);
	n_more = 0;
	assert_int_equal(run(f, &n, &bad), 0);
	assert_int_equal(n, 1);
	assert_int_equal(n_more, 1);
	auto_free char *path = xasprintf("%s/blobs/sha256/%s", f->dir, d.hex);
	assert_int_equal(truncate(path, (off_t)bytes - 1), 0);
	assert_int_equal(run(f, &n, &bad), 1);
	assert_int_equal(bad.bytes, bytes - 1);
}

/* One that cannot be read stops nobody: the rest is looked at too. */
static void what_cannot_be_opened_is_told_and_links_are_followed(void **state)
{
	struct fixture *f = *state;
	struct verify_step bad;
	size_t n;
	struct digest d = put(f, "linked"), other = put(f, "other");
	auto_free char *path = xasprintf("%s/blobs/sha256/%s", f->dir, d.hex);
	auto_free char *away = store_make_file(f, "away", "linked", 6);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(away, path), 0);
	assert_int_equal(run(f, &n, &bad), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(run(f, &n, &bad), 1);
	assert_int_equal(n, 2);
	assert_string_equal(bad.problem, "it is no file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(path, path), 0);
	assert_int_equal(run(f, &n, &bad), 1);
	assert_non_null(strstr(bad.problem, "it cannot be opened: "));
	assert_false(digest_eq(&bad.digest, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_file_is_read_once,
						store_make, store_unmake),
		cmocka_unit_test_setup_teardown(
			what_cannot_be_opened_is_told_and_links_are_followed,
			store_make, store_unmake),
		cmocka_unit_test_setup_teardown(a_large_file_is_read_in_parts,
						store_make, store_unmake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
