#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

struct clock {
	uv_loop_t loop;
	struct timer t;
	int calls;
	bool ends_itself;
};

static void on_due(void *ctx)
{
	struct clock *c = ctx;
	c->calls++;
	if (c->ends_itself)
		timer_fini(&c->t);
}

static int set_up(void **state)
{
	struct clock *c = xcalloc(1, sizeof *c);
	alarm(30);
	uv_loop_init(&c->loop);
	timer_init(&c->t, &c->loop, on_due, c);
	*state = c;
	return 0;
}

static int tear_down(void **state)
{
	struct clock *c = *state;
	timer_fini(&c->t);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	free(c);
	return 0;
}

static void it_fires_once_and_can_start_again(void **state)
{
	struct clock *c = *state;
	assert_false(timer_is_active(&c->t));
	timer_start(&c->t, 1);
	assert_true(timer_is_active(&c->t));
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(c->calls, 1);
	assert_false(timer_is_active(&c->t));
	timer_start(&c->t, 0);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(c->calls, 2);
}

static void starting_anew_moves_the_time(void **state)
{
	struct clock *c = *state;
	timer_start(&c->t, 100000);
	timer_start(&c->t, 1);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(c->calls, 1);
}

static void a_stopped_timer_does_not_fire(void **state)
{
	struct clock *c = *state;
	timer_start(&c->t, 1);
	timer_stop(&c->t);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(c->calls, 0);
}

static void it_can_end_inside_its_callback(void **state)
{
	struct clock *c = *state;
	c->ends_itself = true;
	timer_start(&c->t, 0);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(c->calls, 1);
	assert_false(timer_is_active(&c->t));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(it_fires_once_and_can_start_again),
		TEST(starting_anew_moves_the_time),
		TEST(a_stopped_timer_does_not_fire),
		TEST(it_can_end_inside_its_callback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
