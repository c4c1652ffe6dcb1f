#include "llama/pace.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define MS 1000000ull

/* Steps of 10 ms for `ms`, with `cores` to ourselves; gives the threads then,
 * and how long more than `few` were used. */
static int run(struct pace *p, uint64_t *at, uint64_t ms, double cores, int few,
	       uint64_t *above_ms)
{
	for (uint64_t end = *at + ms * MS; *at < end;) {
		double used = p->now < cores ? p->now : cores;
		if (p->now > few)
			*above_ms += 10;
		*at += 10 * MS;
		pace_step(p, 10 * MS, (uint64_t)(used * 10 * MS), *at);
	}
	return p->now;
}

static void a_machine_of_ones_own_uses_all(void **state)
{
	struct pace p;
	uint64_t at = 0, above = 0;
	(void)state;
	pace_init(&p, 4);
	assert_int_equal(run(&p, &at, 60000, 4, 4, &above), 4);
}

static void a_core_taken_by_others_is_given_up(void **state)
{
	struct pace p;
	uint64_t at = 0, above = 0;
	(void)state;
	pace_init(&p, 2);
	assert_int_equal(run(&p, &at, 200, 1.5, 1, &above), 1);
}

static void tries_grow_rare_while_they_are_in_vain(void **state)
{
	struct pace p;
	uint64_t at = 0, above = 0;
	(void)state;
	pace_init(&p, 2);
	run(&p, &at, 60000, 1.5, 1, &above);
	above = 0;
	run(&p, &at, 120000, 1.5, 1, &above);
	assert_true(above < 1200);
}

static void a_core_that_is_free_again_is_used(void **state)
{
	struct pace p;
	uint64_t at = 0, above = 0;
	(void)state;
	pace_init(&p, 2);
	run(&p, &at, 1000, 1.2, 1, &above);
	assert_int_equal(run(&p, &at, 5000, 2, 1, &above), 2);
}

static void many_threads_go_at_once(void **state)
{
	struct pace p;
	uint64_t at = 0, above = 0;
	(void)state;
	pace_init(&p, 32);
	assert_true(run(&p, &at, 1500, 16, 32, &above) <= 16);
}

static void one_thread_is_the_least(void **state)
{
	struct pace p;
	uint64_t at = 0, above = 0;
	(void)state;
	pace_init(&p, 1);
	assert_int_equal(run(&p, &at, 5000, 0.1, 1, &above), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_of_ones_own_uses_all),
		cmocka_unit_test(a_core_taken_by_others_is_given_up),
		cmocka_unit_test(tries_grow_rare_while_they_are_in_vain),
		cmocka_unit_test(a_core_that_is_free_again_is_used),
		cmocka_unit_test(many_threads_go_at_once),
		cmocka_unit_test(one_thread_is_the_least),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
