#include "api/rate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE 60000u
#define START 1000000u

static void a_minutes_worth_may_be_taken_at_once(void **state)
{
	struct rate l = { 0 };
	(void)state;
	rate_set(&l, 3, START);
	for (uint64_t left = 3; left; left--) {
		assert_int_equal(rate_left(&l, START), left);
		assert_true(rate_has(&l, START));
		rate_take(&l, 1, START);
	}
	assert_false(rate_has(&l, START));
	assert_int_equal(rate_left(&l, START), 0);
}

static void the_wait_that_it_tells_is_true(void **state)
{
	static const uint64_t rates[] = { 1, 2, 3, 7, 59, 60, 61, 999983 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rate l = { 0 };
		rate_set(&l, rates[i], START);
		rate_take(&l, rates[i], START);
		uint64_t wait = rate_wait_ms(&l, START);
		assert_int_equal(wait, (MINUTE + rates[i] - 1) / rates[i]);
		struct rate early = l;
		assert_false(rate_has(&early, START + wait - 1));
		assert_true(rate_has(&l, START + wait));
	}
}

static void all_is_back_within_a_minute(void **state)
{
	struct rate l = { 0 };
	(void)state;
	rate_set(&l, 10, START);
	rate_take(&l, 10, START);
	assert_int_equal(rate_reset_ms(&l, START), MINUTE);
	assert_int_equal(rate_left(&l, START + MINUTE / 2), 5);
	assert_int_equal(rate_left(&l, START + MINUTE), 10);
	assert_int_equal(rate_left(&l, START + 9 * MINUTE), 10);
	assert_int_equal(rate_reset_ms(&l, START + 9 * MINUTE), 0);
}

static void what_was_more_than_there_was_is_waited_for(void **state)
{
	struct rate l = { 0 };
	(void)state;
	rate_set(&l, 100, START);
	rate_take(&l, 250, START);
	assert_int_equal(rate_left(&l, START), 0);
	assert_int_equal(rate_wait_ms(&l, START), 151 * MINUTE / 100);
	assert_false(rate_has(&l, START + MINUTE));
	assert_true(rate_has(&l, START + 2 * MINUTE));
}

static void an_absurd_charge_is_an_hours_at_most(void **state)
{
	struct rate l = { 0 };
	(void)state;
	rate_set(&l, 1000000000, START);
	for (int i = 0; i < 1000; i++)
		rate_take(&l, UINT64_MAX, START);
	assert_true(rate_wait_ms(&l, START) <= 61 * MINUTE);
	assert_true(rate_has(&l, UINT64_MAX / 2));
}

static void a_changed_limit_keeps_what_was_taken(void **state)
{
	struct rate l = { 0 };
	(void)state;
	rate_set(&l, 10, START);
	rate_take(&l, 4, START);
	rate_set(&l, 20, START);
	assert_int_equal(rate_left(&l, START), 16);
	rate_set(&l, 3, START);
	assert_int_equal(rate_left(&l, START), 0);
	assert_int_equal(rate_wait_ms(&l, START), 2 * MINUTE / 3);
	rate_set(&l, 0, START);
	assert_true(rate_has(&l, START));
	rate_set(&l, 5, START);
	assert_int_equal(rate_left(&l, START), 5);
}

static void no_limit_is_never_reached(void **state)
{
	struct rate l = { 0 };
	(void)state;
	rate_set(&l, 0, START);
	rate_take(&l, UINT64_MAX, START);
	assert_true(rate_has(&l, START));
	assert_int_equal(rate_reset_ms(&l, START), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_minutes_worth_may_be_taken_at_once),
		cmocka_unit_test(the_wait_that_it_tells_is_true),
		cmocka_unit_test(all_is_back_within_a_minute),
		cmocka_unit_test(what_was_more_than_there_was_is_waited_for),
		cmocka_unit_test(an_absurd_charge_is_an_hours_at_most),
		cmocka_unit_test(a_changed_limit_keeps_what_was_taken),
		cmocka_unit_test(no_limit_is_never_reached),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
