#include "io/brake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <pthread.h>
#include <cmocka.h>

#define MS 1000000ull
#define HOUR_MS 3600000ull

/* Not zero: nothing begins when the clock does. */
static struct brake_share share(void)
{
	return (struct brake_share){ .hold_ms = 60,
				     .window_ms = 40,
				     .at_ns = 5000 * MS };
}

static uint64_t at(uint64_t ms)
{
	return (5000 + ms) * MS;
}

/* Looks each 0.1 ms, with or without somebody who answers; gives how many looks
 * of that time it was open. */
static uint64_t looks(struct brake_share *s, uint64_t from_ms, uint64_t to_ms)
{
	uint64_t n = 0;
	for (uint64_t now = at(from_ms); now < at(to_ms); now += MS / 10)
		n += brake_share_wait(s, now) == 0;
	return n;
}

static void it_is_open_while_nobody_answers(void **state)
{
	struct brake_share s = share();
	(void)state;
	assert_int_equal(looks(&s, 0, 1000), 10000);
	brake_share_set(&s, at(1000), 1);
	assert_int_equal(brake_share_wait(&s, at(1000)), 60 * MS);
	brake_share_set(&s, at(1020), 0);
	assert_int_equal(looks(&s, 1020, 2000), 9800);
	assert_int_equal(s.windows, 0);
}

static void an_answer_after_a_rest_is_alone_from_its_beginning(void **state)
{
	struct brake_share s = share();
	(void)state;
	for (uint64_t ms = 0; ms < 100000; ms += 100) {
		brake_share_set(&s, at(ms), 1);
		assert_int_equal(looks(&s, ms, ms + 60), 0);
		brake_share_set(&s, at(ms + 60), 0);
		/* Nobody answers for 40 ms, which pay for the 60. */
	}
}

static void under_answers_without_end_it_has_its_share_in_each_period(
	void **state)
{
	struct brake_share s = share();
	(void)state;
	brake_share_set(&s, at(0), 3);
	for (uint64_t ms = 0; ms < 10000; ms += 100) {
		assert_int_equal(looks(&s, ms, ms + 60), 0);
		assert_int_equal(looks(&s, ms + 60, ms + 100), 400);
	}
	/* The last one ended with the last period. */
	assert_int_equal(brake_share_wait(&s, at(10000)), 60 * MS);
	assert_int_equal(s.windows, 100);
}

static void answers_that_come_one_after_the_other_do_not_starve_it(void **state)
{
	static const uint64_t lasts[] = { 2, 5, 25, 59, 61, 99, 250 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lasts); i++) {
		struct brake_share s = share();
		uint64_t open = 0, ms = 0;
		while (ms < 50000) {
			brake_share_set(&s, at(ms), 1);
			open += looks(&s, ms, ms + lasts[i]);
			ms += lasts[i];
			brake_share_set(&s, at(ms), 0);
			open += looks(&s, ms, ms + 1);
			ms++;
		}
		/* Of all but what it was held last. */
		assert_in_range(open, (ms - 60) * 10 * 4 / 10, ms * 10);
	}
}

static void how_often_somebody_looks_changes_nothing(void **state)
{
	struct brake_share often = share(), seldom = share();
	uint64_t random = 1, ms = 0;
	(void)state;
	for (int i = 0; i < 2000; i++) {
		random = random * 6364136223846793005ull + 1442695040888963407;
		size_t answers = (random >> 40) % 3;
		brake_share_set(&often, at(ms), answers);
		brake_share_set(&seldom, at(ms), answers);
		uint64_t next = ms + (random >> 50) % 400;
		looks(&often, ms, next);
		ms = next;
		uint64_t a = brake_share_wait(&often, at(ms));
		uint64_t b = brake_share_wait(&seldom, at(ms));
		/* Each look may round by a nanosecond. */
		assert_in_range(a + 10000, b, b + 20000);
	}
	assert_int_equal(often.windows, seldom.windows);
	assert_true(often.windows > 100);
}

static void years_between_two_looks_are_as_any_time(void **state)
{
	struct brake_share s = share();
	const uint64_t years = 200000 * HOUR_MS;
	(void)state;
	brake_share_set(&s, at(0), 1);
	assert_int_equal(brake_share_wait(&s, at(years + 10)), 50 * MS);
	brake_share_set(&s, at(years + 10), 0);
	assert_int_equal(brake_share_wait(&s, at(2 * years)), 0);
	brake_share_set(&s, at(2 * years), 1);
	assert_int_equal(brake_share_wait(&s, at(2 * years)), 60 * MS);
}

/* ---- threads ---- */

#define THREADS 4
#define PIECES 100

struct fixture {
	struct brake *brake;
	atomic_bool may_go;
	atomic_int passed, early;
};

static void *pass_often(void *ctx)
{
	struct fixture *f = ctx;
	for (int i = 0; i < PIECES; i++) {
		brake_pass(f->brake);
		if (!atomic_load(&f->may_go))
			atomic_fetch_add(&f->early, 1);
		atomic_fetch_add(&f->passed, 1);
	}
	return NULL;
}

static void run_threads(struct fixture *f, void (*meanwhile)(struct fixture *f))
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, pass_often, f), 0);
	meanwhile(f);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&f->passed), THREADS * PIECES);
}

static void let_go(struct fixture *f)
{
	while (brake_facts(f->brake).waits < THREADS)
		continue;
	brake_release(f->brake);
	assert_true(brake_facts(f->brake).is_held);
	atomic_store(&f->may_go, true);
	brake_release(f->brake);
}

static void no_piece_begins_before_the_last_answer_has_ended(void **state)
{
	struct fixture f = { .brake = brake_new(HOUR_MS, 1) };
	(void)state;
	brake_press(f.brake);
	brake_press(f.brake);
	run_threads(&f, let_go);
	assert_int_equal(atomic_load(&f.early), 0);
	assert_int_equal(brake_facts(f.brake).waits, THREADS);
	assert_false(brake_facts(f.brake).is_held);
	brake_free(f.brake);
}

static void do_nothing(struct fixture *f)
{
	(void)f;
}

static void all_pieces_pass_under_an_answer_that_never_ends(void **state)
{
	struct fixture f = { .brake = brake_new(2, 1) };
	(void)state;
	brake_press(f.brake);
	run_threads(&f, do_nothing);
	assert_true(brake_facts(f.brake).windows > 0);
	brake_release(f.brake);
	brake_free(f.brake);
}

static void where_there_is_none_nothing_waits(void **state)
{
	(void)state;
	brake_press(NULL);
	brake_pass(NULL);
	brake_release(NULL);
	brake_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_open_while_nobody_answers),
		cmocka_unit_test(
			an_answer_after_a_rest_is_alone_from_its_beginning),
		cmocka_unit_test(
			under_answers_without_end_it_has_its_share_in_each_period),
		cmocka_unit_test(
			answers_that_come_one_after_the_other_do_not_starve_it),
		cmocka_unit_test(how_often_somebody_looks_changes_nothing),
		cmocka_unit_test(years_between_two_looks_are_as_any_time),
		cmocka_unit_test(
			no_piece_begins_before_the_last_answer_has_ended),
		cmocka_unit_test(
			all_pieces_pass_under_an_answer_that_never_ends),
		cmocka_unit_test(where_there_is_none_nothing_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
