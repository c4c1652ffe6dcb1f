#include "llama/keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const struct batch_owner nobody, somebody = { .name = "a" };

static struct tokens numbers(int32_t first, size_t n)
{
	struct tokens t = { 0 };
	for (size_t i = 0; i < n; i++)
		tokens_push(&t, first + (int32_t)i);
	return t;
}

static struct keep_state *add(struct keep *k, int32_t first, size_t n_tokens,
			      size_t n_bytes)
{
	auto_tokens struct tokens t = numbers(first, n_tokens);
	struct keep_state *s =
		keep_add(k, &t, n_tokens, &nobody, false, n_bytes);
	if (s)
		memset(s->p, 'x', n_bytes);
	return s;
}

static struct keep_state *find(struct keep *k, int32_t first, size_t n)
{
	auto_tokens struct tokens t = numbers(first, n);
	return keep_find_part(k, &t, n, &nobody);
}

static void what_was_used_longest_ago_goes_first(void **state)
{
	struct keep k = { 0 };
	(void)state;
	keep_init(&k, 3 * keep_cost(10, 1000));
	for (int i = 0; i < 3; i++)
		assert_non_null(add(&k, 100 * i, 10, 1000));
	assert_int_equal(atomic_load(&k.bytes), k.ceiling);
	keep_touch(&k, find(&k, 0, 10));
	assert_non_null(add(&k, 300, 10, 1000));
	assert_non_null(find(&k, 0, 10));
	assert_null(find(&k, 100, 10));
	assert_non_null(find(&k, 200, 10));
	assert_int_equal(atomic_load(&k.n), 3);
	keep_fini(&k);
	assert_int_equal(atomic_load(&k.bytes), 0);
	assert_int_equal(atomic_load(&k.n), 0);
}

static void the_ceiling_counts_every_byte(void **state)
{
	struct keep k = { 0 };
	(void)state;
	keep_init(&k, keep_cost(10, 1000));
	assert_null(add(&k, 0, 10, 1001));
	assert_null(add(&k, 0, 11, 1000));
	assert_null(add(&k, 0, 0, 0));
	struct keep_state *s = add(&k, 0, 10, 1000);
	assert_non_null(s);
	/* What can have no room drives nothing out. */
	assert_null(add(&k, 100, 10, 1001));
	assert_ptr_equal(find(&k, 0, 10), s);
	keep_fini(&k);
}

static void what_is_held_stays(void **state)
{
	struct keep k = { 0 };
	(void)state;
	keep_init(&k, 2 * keep_cost(10, 1000));
	struct keep_state *s = add(&k, 0, 10, 1000);
	s->is_held = true;
	assert_non_null(add(&k, 100, 10, 1000));
	assert_null(add(&k, 200, 10, 1500));
	assert_non_null(find(&k, 100, 10));
	assert_non_null(add(&k, 200, 10, 1000));
	assert_null(find(&k, 100, 10));
	assert_ptr_equal(find(&k, 0, 10), s);
	keep_fini(&k);
}

static void the_longest_part_that_fits_is_found(void **state)
{
	struct keep k = { 0 };
	(void)state;
	keep_init(&k, 1 << 20);
	add(&k, 0, 10, 100);
	struct keep_state *longer = add(&k, 0, 20, 100);
	add(&k, 1, 15, 100);
	auto_tokens struct tokens t = numbers(0, 30);
	assert_ptr_equal(find(&k, 0, 30), longer);
	assert_ptr_equal(find(&k, 0, 20), longer);
	assert_int_equal(find(&k, 0, 19)->tokens.n, 10);
	assert_null(find(&k, 0, 9));
	assert_null(keep_find_part(&k, &t, 30, &somebody));
	assert_int_equal(keep_common(&k, &t, 30, &nobody), 20);
	assert_int_equal(keep_common(&k, &t, 12, &nobody), 12);
	assert_int_equal(keep_common(&k, &t, 30, &somebody), 0);
	/* A whole state is none to be laid over others. */
	assert_non_null(keep_add(&k, &t, 25, &nobody, true, 100));
	assert_ptr_equal(find(&k, 0, 30), longer);
	assert_int_equal(keep_common(&k, &t, 30, &nobody), 25);
	keep_fini(&k);
}

static void so_many_states_are_kept(void **state)
{
	struct keep k = { 0 };
	(void)state;
	keep_init(&k, 1 << 30);
	for (int i = 0; i < LIMIT_CACHE_STATES; i++)
		add(&k, 10 * i, 1, 1);
	assert_non_null(find(&k, 0, 1));
	assert_int_equal(atomic_load(&k.n), LIMIT_CACHE_STATES);
	add(&k, 1, 1, 1);
	assert_null(find(&k, 0, 1));
	assert_non_null(find(&k, 10, 1));
	assert_int_equal(atomic_load(&k.n), LIMIT_CACHE_STATES);
	keep_fini(&k);
}

static void without_a_ceiling_nothing_is_kept(void **state)
{
	struct keep k = { 0 };
	(void)state;
	keep_init(&k, 0);
	assert_null(add(&k, 0, 1, 1));
	assert_null(find(&k, 0, 1));
	keep_fini(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_used_longest_ago_goes_first),
		cmocka_unit_test(the_ceiling_counts_every_byte),
		cmocka_unit_test(what_is_held_stays),
		cmocka_unit_test(the_longest_part_that_fits_is_found),
		cmocka_unit_test(so_many_states_are_kept),
		cmocka_unit_test(without_a_ceiling_nothing_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
