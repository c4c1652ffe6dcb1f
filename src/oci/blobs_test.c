#include "oci/blobs.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <uv.h>
#include <cmocka.h>

struct fixture {
	struct uv_loop_s loop;
	struct download_set downloads;
	struct blobs *blobs;
};

static int set_up(void **state)
{
	static const struct blobs_fns fns = { 0 };
	struct fixture *f = xcalloc(1, sizeof *f);
	uv_loop_init(&f->loop);
	download_set_init(&f->downloads, &f->loop, NULL, NULL);
	f->blobs = blobs_new(&f->downloads, &fns, NULL);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	blobs_leave(f->blobs);
	blobs_free(f->blobs);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	int r = uv_loop_close(&f->loop);
	free(f);
	return r;
}

static int add(struct fixture *f, unsigned n, uint64_t bytes)
{
	struct digest d;
	struct err e;
	snprintf(d.hex, sizeof d.hex, "%064x", n);
	return blobs_add(f->blobs, &d, bytes, NULL, &e);
}

static void a_blob_counts_once_however_often_it_is_named(void **state)
{
	for (int i = 0; i < 10; i++)
		assert_int_equal(add(*state, 1, LIMIT_BLOB_BYTES), 0);
	assert_int_equal(add(*state, 2, 1), 0);
	assert_int_equal(add(*state, 3, 1), -1);
}

/* Many times what a manifest may have, so that a search through all of them for
 * each would be seen. */
static void names_in_order_and_again_cost_little(void **state)
{
	enum { MANY = 50 * LIMIT_LAYERS };
	for (int i = 0; i < 2; i++)
		for (unsigned n = 0; n < MANY; n++)
			assert_int_equal(add(*state, n, 0), 0);
	assert_int_equal(add(*state, 0, LIMIT_BLOB_BYTES + 1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_blob_counts_once_however_often_it_is_named, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			names_in_order_and_again_cost_little, set_up,
			tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
