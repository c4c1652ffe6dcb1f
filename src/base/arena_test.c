#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <cmocka.h>

static void what_is_taken_is_zeroed_aligned_and_apart(void **state)
{
	(void)state;
	struct arena a;
	unsigned char *taken[500];
	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		size_t n = i * 7 % 200 + 1;
		taken[i] = arena_alloc(&a, n);
		assert_int_equal((uintptr_t)taken[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < n; j++)
			assert_int_equal(taken[i][j], 0);
		memset(taken[i], (int)(i % 255) + 1, n);
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		for (size_t j = 0; j < i * 7 % 200 + 1; j++)
			assert_int_equal(taken[i][j], i % 255 + 1);
	arena_fini(&a);
}

static void large_pieces_and_empty_ones_are_given_too(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a);
	char *large = arena_alloc(&a, 1000000);
	assert_int_equal(large[999999], 0);
	assert_non_null(arena_alloc(&a, 0));
	assert_non_null(arena_alloc(&a, 1));
	arena_fini(&a);
	assert_null(a.blocks);
}

static void texts_are_copied_with_their_nul(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a);
	assert_string_equal(arena_str(&a, STR("abc")), "abc");
	assert_string_equal(arena_str(&a, str_of(NULL)), "");
	assert_memory_equal(arena_str(&a, STR("a\0b")), "a\0b", 4);
	assert_string_equal(arena_printf(&a, "%s %d", "x", 5), "x 5");
	assert_string_equal(arena_printf(&a, "%s", ""), "");
	assert_int_equal(strlen(arena_printf(&a, "%5000d", 1)), 5000);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_zeroed_aligned_and_apart),
		cmocka_unit_test(large_pieces_and_empty_ones_are_given_too),
		cmocka_unit_test(texts_are_copied_with_their_nul),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
