#include "engine/backoff.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct err cause(const char *words)
{
	struct err e;
	err_set(&e, ERR_ENGINE, "%s", words);
	return e;
}

static void the_first_failures_cost_nothing(void **state)
{
	struct backoff b;
	struct err e, why = cause("it crashed");
	(void)state;
	backoff_init(&b);
	for (unsigned i = 0; i < LIMIT_BACKOFF_FREE; i++) {
		assert_int_equal(backoff_check(&b, "m", 1000, &e), 0);
		backoff_failed(&b, "m", 1000, &why);
	}
	assert_int_equal(backoff_check(&b, "m", 1000, &e), 0);
	backoff_fini(&b);
}

static void then_it_rests_twice_as_long_each_time(void **state)
{
	struct backoff b;
	struct err e, why = cause("it crashed");
	uint64_t now = 1000, rest = LIMIT_BACKOFF_MIN_MS;
	(void)state;
	backoff_init(&b);
	for (unsigned i = 0; i < LIMIT_BACKOFF_FREE; i++)
		backoff_failed(&b, "m", now, &why);
	for (int i = 0; i < 12; i++) {
		backoff_failed(&b, "m", now, &why);
		assert_int_equal(backoff_check(&b, "m", now, &e), -1);
		assert_int_equal(e.code, ERR_ENGINE);
		assert_non_null(strstr(e.msg, "it crashed ("));
		assert_int_equal(backoff_check(&b, "m", now + rest - 1, &e),
				 -1);
		assert_int_equal(backoff_check(&b, "m", now + rest, &e), 0);
		assert_int_equal(backoff_check(&b, "other", now, &e), 0);
		now += rest;
		rest = MIN(rest * 2, (uint64_t)LIMIT_BACKOFF_MS);
	}
	assert_int_equal(rest, LIMIT_BACKOFF_MS);
	backoff_fini(&b);
}

static void an_answer_ends_the_count(void **state)
{
	struct backoff b;
	struct err e, why = cause("it crashed");
	(void)state;
	backoff_init(&b);
	for (unsigned i = 0; i < LIMIT_BACKOFF_FREE; i++)
		backoff_failed(&b, "m", 0, &why);
	backoff_worked(&b, "m");
	backoff_worked(&b, "never failed");
	backoff_failed(&b, "m", 0, &why);
	assert_int_equal(backoff_check(&b, "m", 0, &e), 0);
	backoff_fini(&b);
}

static void only_so_many_are_remembered(void **state)
{
	struct backoff b;
	struct err e, why = cause("it crashed");
	char key[32];
	(void)state;
	backoff_init(&b);
	for (unsigned i = 0; i <= LIMIT_BACKOFF_MODELS; i++) {
		snprintf(key, sizeof key, "m%u", i);
		for (unsigned k = 0; k <= LIMIT_BACKOFF_FREE; k++)
			backoff_failed(&b, key, 0, &why);
	}
	assert_int_equal(b.n, LIMIT_BACKOFF_MODELS);
	assert_int_equal(backoff_check(&b, "m0", 0, &e), 0);
	assert_int_equal(backoff_check(&b, "m1", 0, &e), -1);
	backoff_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_failures_cost_nothing),
		cmocka_unit_test(then_it_rests_twice_as_long_each_time),
		cmocka_unit_test(an_answer_ends_the_count),
		cmocka_unit_test(only_so_many_are_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
