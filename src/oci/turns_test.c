#include "oci/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <uv.h>
#include <cmocka.h>

#define TURNS 5

struct waiter {
	struct turn turn;
	int begun, told, others;
	bool has_left;
};

static void on_wait(void *ctx, int others)
{
	struct waiter *w = ctx;
	w->told++;
	w->others = others;
}

static void on_begin(void *ctx)
{
	struct waiter *w = ctx;
	w->begun++;
}

static const struct turn_fns fns = { .on_wait = on_wait, .on_begin = on_begin };

static void on_stop(void *ctx)
{
	struct waiter *w = ctx;
	w->has_left = true;
	turns_leave(&w->turn);
	turns_drop(&w->turn);
}

static void so_many_run_and_the_others_wait_in_order(void **state)
{
	uv_loop_t loop;
	struct turns turns;
	struct waiter w[TURNS] = { 0 };
	(void)state;
	uv_loop_init(&loop);
	turns_init(&turns, &loop, 2);
	for (int i = 0; i < TURNS; i++) {
		turns_join(&w[i].turn, &turns, &fns, &w[i]);
		assert_int_equal(w[i].begun + w[i].told, 0);
	}
	uv_run(&loop, UV_RUN_NOWAIT);
	for (int i = 0; i < TURNS; i++) {
		assert_int_equal(w[i].begun, i < 2);
		assert_int_equal(w[i].told, i >= 2);
		assert_int_equal(w[i].others, i < 2 ? 0 : i);
	}
	/* One that waits goes, then one that runs. */
	on_stop(&w[2]);
	on_stop(&w[0]);
	assert_int_equal(w[3].begun, 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(w[3].begun, 1);
	assert_int_equal(w[4].begun, 0);
	turns_stop(&turns, on_stop);
	for (int i = 0; i < TURNS; i++)
		assert_true(w[i].has_left);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(w[4].begun, 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_run_and_the_others_wait_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
