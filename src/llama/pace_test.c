#include "llama/pace.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define MS 1000000ull

/* A machine: how long a step takes with n threads, and what share of their
 * time they got. */
struct machine {
	double (*step_ms)(int n);
	double (*got)(int n);
};

struct run {
	struct pace pace;
	uint64_t at;
	double spent_ms[33]; /* with each number of threads */
};

static void start(struct run *r, int most)
{
	*r = (struct run){ 0 };
	pace_init(&r->pace, most);
}

static int run(struct run *r, const struct machine *m, uint64_t ms)
{
	for (uint64_t end = r->at + ms * MS; r->at < end;) {
		int n = r->pace.now;
		double wall = m->step_ms(n) * MS;
		r->spent_ms[n] += m->step_ms(n);
		r->at += (uint64_t)wall;
		pace_step(&r->pace, 1, (uint64_t)wall,
			  (uint64_t)(wall * n * m->got(n)), r->at);
	}
	return r->pace.now;
}

static double shared_out(int n)
{
	return 10.0 / n;
}

static double all(int n)
{
	(void)n;
	return 1;
}

static const struct machine own = { shared_out, all };

/* Another program keeps one core of two busy. */
static double hog_ms(int n)
{
	return n == 1 ? 10 : 100;
}

static double hog_got(int n)
{
	return n == 1 ? 1 : 0.75;
}

static const struct machine hogged = { hog_ms, hog_got };

/* A client flits by: its time is missed, and two threads are faster still. */
static double client_ms(int n)
{
	return n == 1 ? 10 : 6.5;
}

static double client_got(int n)
{
	return n == 1 ? 0.95 : 0.8;
}

static const struct machine visited = { client_ms, client_got };

/* Half of 16 cores are taken. */
static double half_ms(int n)
{
	return n <= 8 ? 80.0 / n : 60;
}

static double half_got(int n)
{
	return n <= 8 ? 1 : 8.0 / n;
}

static const struct machine half = { half_ms, half_got };

static void a_machine_of_ones_own_uses_all(void **state)
{
	struct run r;
	(void)state;
	start(&r, 4);
	assert_int_equal(run(&r, &own, 60000), 4);
	assert_true(r.spent_ms[3] == 0);
}

static void a_core_that_is_kept_busy_is_given_up(void **state)
{
	struct run r;
	(void)state;
	start(&r, 2);
	assert_int_equal(run(&r, &hogged, 400), 1);
}

static void tries_grow_rare_while_they_are_in_vain(void **state)
{
	struct run r;
	(void)state;
	start(&r, 2);
	run(&r, &hogged, 60000);
	assert_true(r.spent_ms[2] < 1500);
	r.spent_ms[2] = 0;
	run(&r, &hogged, 120000);
	assert_true(r.spent_ms[2] < 600);
}

static void a_core_that_is_free_again_is_used(void **state)
{
	struct run r;
	(void)state;
	start(&r, 2);
	run(&r, &hogged, 1000);
	run(&r, &own, 5000);
	assert_int_equal(r.pace.now, 2);
}

static void a_client_that_flits_by_costs_no_core(void **state)
{
	struct run r;
	(void)state;
	start(&r, 2);
	run(&r, &visited, 60000);
	assert_int_equal(r.pace.now, 2);
	assert_true(r.spent_ms[1] < 1500);
}

static void many_threads_go_at_once(void **state)
{
	struct run r;
	(void)state;
	start(&r, 16);
	assert_true(run(&r, &half, 3000) <= 8);
}

static void one_thread_is_the_least(void **state)
{
	struct run r;
	(void)state;
	start(&r, 1);
	assert_int_equal(run(&r, &hogged, 5000), 1);
}

static void steps_of_other_sizes_are_not_compared(void **state)
{
	struct pace p;
	uint64_t at = 0;
	(void)state;
	pace_init(&p, 2);
	for (int i = 0; i < 1000; i++) {
		at += 10 * MS;
		assert_int_equal(pace_step(&p, 1 + i % (PACE_LARGE - 1),
					   10 * MS, 10 * MS, at),
				 2);
	}
}

/* Batches of texts to embed: hardly two are alike, and now and then comes a
 * single short one. */
static void large_steps_are_compared_by_the_token(void **state)
{
	struct pace p;
	uint64_t at = 0;
	(void)state;
	pace_init(&p, 2);
	for (uint64_t i = 0; at < 1000 * MS; i++) {
		uint64_t size = i % 10 == 9 ? 14 : 40 + i * 67 % 200;
		uint64_t ns =
			(uint64_t)(hog_ms(p.now) * (double)(size * MS) / 100);
		double got = hog_got(p.now) * p.now;
		at += ns;
		pace_step(&p, (int)size, ns, (uint64_t)((double)ns * got), at);
	}
	assert_int_equal(p.now, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_of_ones_own_uses_all),
		cmocka_unit_test(a_core_that_is_kept_busy_is_given_up),
		cmocka_unit_test(tries_grow_rare_while_they_are_in_vain),
		cmocka_unit_test(a_core_that_is_free_again_is_used),
		cmocka_unit_test(a_client_that_flits_by_costs_no_core),
		cmocka_unit_test(many_threads_go_at_once),
		cmocka_unit_test(one_thread_is_the_least),
		cmocka_unit_test(steps_of_other_sizes_are_not_compared),
		cmocka_unit_test(large_steps_are_compared_by_the_token),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
