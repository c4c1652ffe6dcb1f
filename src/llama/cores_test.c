#include "llama/cores.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void a_quota_rounds_up_to_whole_cores(void **state)
{
	(void)state;
	assert_int_equal(cores_from_quota(STR("100000 100000\n")), 1);
	assert_int_equal(cores_from_quota(STR("150000 100000\n")), 2);
	assert_int_equal(cores_from_quota(STR("10000 100000")), 1);
	assert_int_equal(cores_from_quota(STR("800000 100000")), 8);
}

static void no_quota_is_zero(void **state)
{
	(void)state;
	assert_int_equal(cores_from_quota(STR("max 100000\n")), 0);
	assert_int_equal(cores_from_quota(STR("")), 0);
	assert_int_equal(cores_from_quota(STR("1")), 0);
	assert_int_equal(cores_from_quota(STR("0 100000")), 0);
	assert_int_equal(cores_from_quota(STR("5 0")), 0);
	assert_int_equal(cores_from_quota(STR("99999999999999 1")), 0);
}

static void the_affinity_mask_counts(void **state)
{
	cpu_set_t was, one;
	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof was, &was), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &was))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
	assert_int_equal(cores_usable(), 1);
	assert_int_equal(sched_setaffinity(0, sizeof was, &was), 0);
	assert_true(cores_usable() >= 1);
}

static void some_memory_is_left(void **state)
{
	(void)state;
	assert_true(cores_memory_bytes() > 1u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quota_rounds_up_to_whole_cores),
		cmocka_unit_test(no_quota_is_zero),
		cmocka_unit_test(the_affinity_mask_counts),
		cmocka_unit_test(some_memory_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
