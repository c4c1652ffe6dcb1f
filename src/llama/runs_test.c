#include "llama/runs.h"

#include "llama/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* Text 0-3, a picture 4-9 that takes 2 positions, text 10-11, pictures 12-14
 * and 15-15 as they are, text from 16 on. */
static struct image images[] = {
	{ .n_tokens = 6, .n_pos = 2, .refs = 1000 },
	{ .n_tokens = 3, .n_pos = 3, .refs = 1000 },
	{ .n_tokens = 1, .n_pos = 1, .refs = 1000 },
};

static struct runs three(void)
{
	struct runs r = { 0 };
	runs_push(&r, 4, image_hold(&images[0]));
	runs_push(&r, 12, image_hold(&images[1]));
	runs_push(&r, 15, image_hold(&images[2]));
	return r;
}

static void a_token_is_text_or_in_a_run(void **state)
{
	struct runs r = three(), none = { 0 };
	(void)state;
	assert_null(runs_find(&r, 3));
	assert_ptr_equal(runs_find(&r, 4), &r.p[0]);
	assert_ptr_equal(runs_find(&r, 9), &r.p[0]);
	assert_null(runs_find(&r, 10));
	assert_ptr_equal(runs_find(&r, 14), &r.p[1]);
	assert_ptr_equal(runs_find(&r, 15), &r.p[2]);
	assert_null(runs_find(&r, 16));
	assert_null(runs_find(&none, 0));
	assert_int_equal(runs_text(&r, 0), 4);
	assert_int_equal(runs_text(&r, 3), 1);
	assert_int_equal(runs_text(&r, 4), 0);
	assert_int_equal(runs_text(&r, 9), 0);
	assert_int_equal(runs_text(&r, 10), 2);
	assert_int_equal(runs_text(&r, 14), 0);
	assert_int_equal(runs_text(&r, 15), 0);
	assert_true(runs_text(&r, 16) == SIZE_MAX);
	assert_true(runs_text(&none, 0) == SIZE_MAX);
	runs_fini(&r);
}

static void a_cut_is_before_or_behind_a_run(void **state)
{
	static const size_t whole[] = { 0, 1,  2,  3,  4,  4,  4,  4,  4,
					4, 10, 11, 12, 12, 12, 15, 16, 17 };
	struct runs r = three();
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		assert_int_equal(runs_whole(&r, i), whole[i]);
	runs_fini(&r);
}

static void positions_go_on_behind_what_a_run_takes_up(void **state)
{
	struct runs r = three(), copy = { 0 }, none = { 0 };
	(void)state;
	assert_int_equal(runs_pos(&r, 3), 3);
	assert_int_equal(runs_pos(&r, 4), 4);
	assert_int_equal(runs_pos(&r, 10), 6);
	assert_int_equal(runs_pos(&r, 12), 8);
	assert_int_equal(runs_pos(&r, 15), 11);
	assert_int_equal(runs_pos(&r, 16), 12);
	assert_int_equal(runs_pos(&r, 100), 96);
	assert_int_equal(runs_pos(&none, 7), 7);
	runs_copy(&r, &copy);
	assert_int_equal(images[0].refs, 1002);
	runs_fini(&r);
	assert_int_equal(runs_pos(&copy, 100), 96);
	runs_fini(&copy);
	assert_int_equal(images[0].refs, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_text_or_in_a_run),
		cmocka_unit_test(a_cut_is_before_or_behind_a_run),
		cmocka_unit_test(positions_go_on_behind_what_a_run_takes_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
