/* Turns without a llama_context: order and numbers, never time. */
#include "llama/fair.h"

#include "llama/batch_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define TASKS 200

struct bench {
	struct batch b;
	struct batch_task tasks[TASKS];
	size_t n;
};

static int make(void **state)
{
	struct bench *t = xcalloc(1, sizeof *t);
	list_init(&t->b.queue);
	*state = t;
	return 0;
}

static int unmake(void **state)
{
	struct bench *t = *state;
	fair_fini(&t->b.fair);
	free(t);
	return 0;
}

static struct batch_task *wait_as(struct bench *t, const char *owner)
{
	struct batch_task *task = &t->tasks[t->n++];
	assert_true(t->n <= TASKS);
	snprintf(task->ask.owner.name, sizeof task->ask.owner.name, "%s",
		 owner);
	list_init(&task->link);
	fair_enter(&t->b, task);
	list_push_back(&t->b.queue, &task->link);
	return task;
}

/* As decode.c does it: who is next gets a place. */
static struct batch_task *place_next(struct bench *t)
{
	fair_rewind(&t->b);
	struct batch_task *task = fair_next(&t->b);
	if (task) {
		list_remove(&task->link);
		fair_take(&t->b, task);
	}
	return task;
}

static void end(struct bench *t, struct batch_task *task)
{
	fair_give(&t->b, task);
	fair_leave(&t->b, task);
}

static void one_caller_is_served_first_come_first(void **state)
{
	struct bench *t = *state;
	for (int i = 0; i < 10; i++)
		wait_as(t, "a");
	for (int i = 0; i < 10; i++)
		assert_ptr_equal(place_next(t), &t->tasks[i]);
	assert_null(place_next(t));
}

static void a_hundred_of_one_make_another_wait_for_one_only(void **state)
{
	struct bench *t = *state;
	for (int i = 0; i < 100; i++)
		wait_as(t, "a");
	struct batch_task *runs = place_next(t);
	struct batch_task *b = wait_as(t, "b");
	/* One place in all. */
	end(t, runs);
	struct batch_task *next = place_next(t);
	int waited = 0;
	for (; next != b; next = place_next(t), waited++)
		end(t, next);
	assert_true(waited <= 1);
}

static void callers_take_turns(void **state)
{
	struct bench *t = *state;
	struct batch_task *order[9];
	static const char *const names[] = { "a", "b", "c" };
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < 3; i++)
			wait_as(t, names[k]);
	for (int i = 0; i < 9; i++) {
		order[i] = place_next(t);
		end(t, order[i]);
	}
	for (int i = 0; i < 9; i++)
		assert_ptr_equal(order[i], &t->tasks[i % 3 * 3 + i / 3]);
}

static void who_holds_fewest_places_is_next(void **state)
{
	struct bench *t = *state;
	for (int i = 0; i < 8; i++)
		wait_as(t, "a");
	struct batch_task *held[4];
	for (int i = 0; i < 4; i++)
		held[i] = place_next(t);
	struct batch_task *first = wait_as(t, "b"), *second = wait_as(t, "b"),
			  *third = wait_as(t, "b");
	/* a's end one by one: b comes up to as many as a has. */
	end(t, held[0]);
	assert_ptr_equal(place_next(t), first);
	end(t, held[1]);
	assert_ptr_equal(place_next(t), second);
	/* Two each; a had its turn longest ago. */
	end(t, held[2]);
	assert_ptr_equal(place_next(t), &t->tasks[4]);
	end(t, held[3]);
	assert_ptr_equal(place_next(t), &t->tasks[5]);
	end(t, first);
	assert_ptr_equal(place_next(t), third);
}

/* Others who come and go with one task each do not pass for ever. */
static void new_callers_do_not_starve_who_waits(void **state)
{
	struct bench *t = *state;
	char name[16];
	for (int i = 0; i < 3; i++)
		wait_as(t, "a");
	struct batch_task *runs = place_next(t);
	int last = 0;
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof name, "new%d", i);
		wait_as(t, name);
		end(t, runs);
		runs = place_next(t);
		if (strcmp(runs->ask.owner.name, "a") == 0)
			last = i;
	}
	/* All of a's were served, between the first few that came. */
	assert_true(t->tasks[2].is_passed);
	assert_true(last <= 6);
}

static void who_had_to_leave_its_place_is_first(void **state)
{
	struct bench *t = *state;
	struct batch_task *left = wait_as(t, "a");
	place_next(t);
	left->has_left = true;
	wait_as(t, "b");
	fair_give(&t->b, left);
	list_push_front(&t->b.queue, &left->link);
	wait_as(t, "c");
	assert_ptr_equal(place_next(t), left);
}

static void each_is_asked_once_in_a_pass(void **state)
{
	struct bench *t = *state;
	for (int i = 0; i < 5; i++)
		wait_as(t, i % 2 ? "a" : "b");
	fair_rewind(&t->b);
	for (int i = 0; i < 5; i++)
		assert_non_null(fair_next(&t->b));
	assert_null(fair_next(&t->b));
	fair_rewind(&t->b);
	assert_non_null(fair_next(&t->b));
}

static void the_table_of_callers_does_not_grow_with_time(void **state)
{
	struct bench *t = *state;
	char name[16];
	for (int i = 0; i < 10000; i++) {
		struct batch_task *task = &t->tasks[i % 2];
		snprintf(name, sizeof name, "%d", i);
		snprintf(task->ask.owner.name, sizeof task->ask.owner.name,
			 "%s", name);
		if (i >= 2)
			fair_leave(&t->b, task);
		fair_enter(&t->b, task);
	}
	assert_true(t->b.fair.n <= 2);
}

/* ---- room ---- */

static size_t sum(const size_t *v, size_t n)
{
	size_t all = 0;
	for (size_t i = 0; i < n; i++)
		all += v[i];
	return all;
}

static void one_prompt_gets_all_the_room(void **state)
{
	size_t lacks = 2000, gets;
	(void)state;
	fair_share(&lacks, 1, 512, &gets);
	assert_int_equal(gets, 512);
	lacks = 100;
	fair_share(&lacks, 1, 512, &gets);
	assert_int_equal(gets, 100);
	fair_share(NULL, 0, 512, NULL);
}

static void a_short_prompt_does_not_wait_for_a_long_one(void **state)
{
	size_t lacks[] = { 30000, 200, 3000 }, gets[3];
	(void)state;
	fair_share(lacks, 3, 512, gets);
	assert_int_equal(gets[1], 200);
	/* And the long ones go on. */
	assert_int_equal(gets[0], 512 / 2 / 3);
	assert_int_equal(gets[2], 512 - 200 - gets[0]);
}

/* Steps until each of four alike is whole: they end one by one, and none of
 * them later than if all had gone on alike. */
static void alike_prompts_end_one_after_the_other(void **state)
{
	size_t lacks[4] = { 1000, 1000, 1000, 1000 }, gets[4], done[4] = { 0 };
	(void)state;
	for (size_t step = 1; sum(lacks, 4); step++) {
		fair_share(lacks, 4, 64, gets);
		for (int i = 0; i < 4; i++) {
			assert_true(gets[i] > 0 || !lacks[i]);
			lacks[i] -= gets[i];
			if (!lacks[i] && !done[i])
				done[i] = step;
		}
	}
	assert_true(done[0] < done[1] && done[1] < done[2] &&
		    done[2] < done[3]);
	assert_int_equal(done[3], (4000 + 63) / 64);
	assert_true(done[0] <= 26);
}

static void no_room_is_lost_or_given_twice(void **state)
{
	unsigned seed = 1;
	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t lacks[8], gets[8], n = (size_t)(round % 8) + 1;
		for (size_t i = 0; i < n; i++)
			lacks[i] = (size_t)rand_r(&seed) % 700 + 1;
		size_t room = (size_t)rand_r(&seed) % 600;
		fair_share(lacks, n, room, gets);
		assert_int_equal(sum(gets, n), MIN(room, sum(lacks, n)));
		for (size_t i = 0; i < n; i++) {
			assert_true(gets[i] <= lacks[i]);
			/* Each comes on, wherever there is room for that. */
			assert_true(gets[i] || room < n);
		}
	}
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(one_caller_is_served_first_come_first),
		ROW(a_hundred_of_one_make_another_wait_for_one_only),
		ROW(callers_take_turns),
		ROW(who_holds_fewest_places_is_next),
		ROW(new_callers_do_not_starve_who_waits),
		ROW(who_had_to_leave_its_place_is_first),
		ROW(each_is_asked_once_in_a_pass),
		ROW(the_table_of_callers_does_not_grow_with_time),
		cmocka_unit_test(one_prompt_gets_all_the_room),
		cmocka_unit_test(a_short_prompt_does_not_wait_for_a_long_one),
		cmocka_unit_test(alike_prompts_end_one_after_the_other),
		cmocka_unit_test(no_room_is_lost_or_given_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
