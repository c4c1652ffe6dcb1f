#include "llama/gain.h"
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* A machine on which a step with n tokens takes 1 + slope x (n - 1) units, and
 * texts of which a drafted token is taken with some chance, after another. */
struct fixture {
	struct gain g;
	struct gain_task t;
	double slope;
	double ns; /* a unit */
	double time, plain_time;
	size_t n_tokens, n_drafted;
	uint64_t seed;
};

static int start(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	gain_init(&f->g);
	gain_task_init(&f->t);
	f->ns = 1e7;
	f->slope = 1;
	f->seed = 7;
	*state = f;
	return 0;
}

static int end(void **state)
{
	free(*state);
	return 0;
}

static double chance(struct fixture *f)
{
	f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(f->seed >> 11) / (double)(1ull << 53);
}

static double units(const struct fixture *f, size_t n)
{
	return 1 + f->slope * (double)(n - 1);
}

static size_t guess(struct fixture *f, size_t most, double each)
{
	struct gain_case c = {
		.n_tasks = 1, .n_batch = 1, .most = most, .each = each
	};
	return gain_is_stale(&f->g) ? 0
				    : gain_choose(&f->g, &f->t, GAIN_NGRAM, &c);
}

/* One step of a task alone; `matches` is whether anything could be drafted. */
static void step(struct fixture *f, bool matches, double p, double each)
{
	size_t k = matches ? guess(f, 16, each) : 0, taken = 0;
	double took = units(f, k + 1);
	if (!k) {
		gain_plain(&f->g, 1, took * f->ns);
		gain_earn(&f->g, &f->t, 1);
	} else {
		while (taken < k && chance(f) < p)
			taken++;
		gain_drafted(&f->g, k + 1, took * f->ns);
		took += each * (double)k;
		gain_learn(&f->g, &f->t, GAIN_NGRAM,
			   &(struct gain_result){
				   .n_tasks = 1,
				   .n_drafted = k,
				   .n_taken = taken,
				   .cost = took - 1,
			   });
	}
	f->time += took;
	f->plain_time += (double)(1 + taken);
	f->n_tokens += 1 + taken;
	f->n_drafted += k;
}

static void nothing_is_drafted_before_a_step_is_known(void **state)
{
	struct fixture *f = *state;
	assert_true(gain_is_stale(&f->g));
	assert_int_equal(guess(f, 16, 0), 0);
	/* Then nothing is known of larger batches, and little is earned. */
	gain_plain(&f->g, 1, f->ns);
	assert_false(gain_is_stale(&f->g));
	assert_int_equal(guess(f, 16, 0), 0);
}

static void a_step_without_drafts_is_due_now_and_then(void **state)
{
	struct fixture *f = *state;
	gain_plain(&f->g, 1, f->ns);
	for (int i = 0; i < 63; i++)
		gain_drafted(&f->g, 4, f->ns);
	assert_false(gain_is_stale(&f->g));
	gain_drafted(&f->g, 4, f->ns);
	assert_true(gain_is_stale(&f->g));
	gain_plain(&f->g, 1, f->ns);
	assert_false(gain_is_stale(&f->g));
}

static void costs_between_known_sizes_lie_between(void **state)
{
	struct fixture *f = *state;
	gain_plain(&f->g, 1, 100);
	gain_drafted(&f->g, 5, 300);
	assert_true(gain_cost(&f->g, 1) == 1);
	assert_true(gain_cost(&f->g, 5) == 3);
	assert_true(gain_cost(&f->g, 3) == 2);
	assert_true(gain_cost(&f->g, 9) == 5);
	/* Several answers in a step without drafts tell it too. */
	gain_plain(&f->g, 3, 250);
	assert_true(gain_cost(&f->g, 3) == 2.5);
}

/* Whatever a text is like and a batch costs: all of it is at most so much
 * slower than without drafts. */
static void text_that_cannot_be_guessed_is_hardly_slower(void **state)
{
	static const double slopes[] = { 0.01, 0.3, 0.85, 1, 2, 5 };
	static const double chances[] = { 0, 0.2, 0.5, 0.8 };
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(slopes); i++) {
		for (size_t j = 0; j < ARRAY_LEN(chances); j++) {
			*f = (struct fixture){ .slope = slopes[i],
					       .ns = 1e7,
					       .seed = i * 10 + j };
			gain_init(&f->g);
			/* Many short answers after each other. */
			for (int n = 0; n < 100; n++) {
				gain_task_init(&f->t);
				for (int k = 0; k < 100; k++)
					step(f, true, chances[j], 0);
			}
			assert_true(f->time < f->plain_time * 1.02);
		}
	}
}

/* Winnings of one text cannot be lost on the next. */
static void a_text_after_one_that_gained_is_hardly_slower(void **state)
{
	struct fixture *f = *state;
	f->slope = 0.4;
	for (int i = 0; i < 5; i++) {
		gain_task_init(&f->t);
		for (int k = 0; k < 500; k++)
			step(f, true, 0.95, 0);
		gain_task_init(&f->t);
		f->time = f->plain_time = 0;
		for (int k = 0; k < 200; k++)
			step(f, true, 0, 0);
		assert_true(f->time < f->plain_time + 2 + 0.0075 * 200 + 1);
	}
}

static void text_that_repeats_is_faster_where_batches_are_cheap(void **state)
{
	struct fixture *f = *state;
	f->slope = 0.05;
	for (int k = 0; k < 2000; k++)
		step(f, true, 0.95, 0);
	assert_true(f->time * 4 < f->plain_time);
	/* And where they are not, but all is taken. */
	gain_init(&f->g);
	gain_task_init(&f->t);
	f->slope = 0.5;
	f->time = f->plain_time = 0;
	for (int k = 0; k < 2000; k++)
		step(f, true, 1, 0);
	assert_true(f->time * 1.5 < f->plain_time);
}

static void nothing_is_drafted_where_it_cannot_pay(void **state)
{
	struct fixture *f = *state;
	f->slope = 1;
	for (int k = 0; k < 5000; k++)
		step(f, true, 1, 0);
	assert_true(f->n_drafted < f->n_tokens / 50);
	/* Nor where making a draft takes longer than the model itself. */
	gain_init(&f->g);
	gain_task_init(&f->t);
	f->slope = 0.01;
	f->n_drafted = 0;
	for (int k = 0; k < 500; k++)
		step(f, true, 1, 1.1);
	assert_int_equal(f->n_drafted, 0);
}

static void drafts_in_vain_are_made_ever_less_often(void **state)
{
	struct fixture *f = *state;
	size_t before = 0, first = 0, gap = 0;
	f->slope = 0.001; /* costs are no reason */
	for (size_t k = 0; k < 5000; k++) {
		step(f, true, 0, 0);
		if (f->n_drafted == before)
			continue;
		if (!first)
			first = k + 1;
		gap = k;
		before = f->n_drafted;
	}
	assert_true(first > 0 && gap > first);
	unsigned rest = f->t.of[GAIN_NGRAM].next_rest;
	assert_int_equal(rest, 256);
	/* One that is taken ends that. */
	f->t.of[GAIN_NGRAM].rest = 0;
	f->t.of[GAIN_NGRAM].is_probe = true;
	for (int k = 0; k < 20; k++)
		step(f, true, 1, 0);
	assert_true(f->t.of[GAIN_NGRAM].next_rest < 256);
}

static void a_wide_batch_is_left_alone(void **state)
{
	struct fixture *f = *state;
	f->slope = 0.05;
	for (int k = 0; k < 1000; k++)
		step(f, true, 0.9, 0);
	struct gain_case c = { .n_tasks = 8, .n_batch = 8, .most = 16 };
	size_t alone = guess(f, 16, 0);
	size_t beside = gain_choose(&f->g, &f->t, GAIN_NGRAM, &c);
	assert_true(alone > 0 && beside < alone);
	c.n_batch = c.n_tasks = GAIN_SIZES;
	assert_int_equal(gain_choose(&f->g, &f->t, GAIN_NGRAM, &c), 0);
}

static void a_run_that_the_answers_end_cut_is_no_failure(void **state)
{
	struct fixture *f = *state;
	struct gain_result r = {
		.n_tasks = 1, .n_drafted = 8, .n_taken = 0, .is_over = true
	};
	gain_plain(&f->g, 1, f->ns);
	gain_learn(&f->g, &f->t, GAIN_MODEL, &r);
	assert_int_equal(f->t.of[GAIN_MODEL].rest, 0);
	r.is_over = false;
	gain_learn(&f->g, &f->t, GAIN_MODEL, &r);
	assert_true(f->t.of[GAIN_MODEL].rest > 0);
	/* Of the other source that says nothing. */
	assert_int_equal(f->t.of[GAIN_NGRAM].rest, 0);
}

/* A text must be read by the draft model before that drafts: the first ones are
 * on loan, those after on what it saved. */
static void a_draft_model_that_helps_may_read_on(void **state)
{
	struct fixture *f = *state;
	gain_plain(&f->g, 1, f->ns);
	assert_false(gain_affords(&f->g, &f->t, 10));
	gain_lend(&f->g);
	struct gain_result r = {
		.n_tasks = 1, .n_drafted = 4, .n_taken = 4, .cost = 1
	};
	for (int i = 0; i < 20; i++) {
		gain_task_init(&f->t);
		assert_true(gain_affords(&f->g, &f->t, 50));
		gain_pay_reading(&f->g, &f->t, 50);
		for (int k = 0; k < 40; k++)
			gain_learn(&f->g, &f->t, GAIN_MODEL, &r);
	}
	/* One that does not uses up what there is, and no more. */
	double paid = 0;
	r = (struct gain_result){ .n_tasks = 1, .n_drafted = 1, .cost = 0.1 };
	for (int i = 0; i < 100; i++) {
		gain_task_init(&f->t);
		if (!gain_affords(&f->g, &f->t, 50))
			continue;
		gain_pay_reading(&f->g, &f->t, 50);
		paid += 50;
		gain_learn(&f->g, &f->t, GAIN_MODEL, &r);
	}
	assert_true(paid > 0 && paid <= 520);
	assert_false(gain_affords(&f->g, &f->t, 50));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_drafted_before_a_step_is_known),
		TEST(a_step_without_drafts_is_due_now_and_then),
		TEST(costs_between_known_sizes_lie_between),
		TEST(text_that_cannot_be_guessed_is_hardly_slower),
		TEST(a_text_after_one_that_gained_is_hardly_slower),
		TEST(text_that_repeats_is_faster_where_batches_are_cheap),
		TEST(nothing_is_drafted_where_it_cannot_pay),
		TEST(drafts_in_vain_are_made_ever_less_often),
		TEST(a_wide_batch_is_left_alone),
		TEST(a_run_that_the_answers_end_cut_is_no_failure),
		TEST(a_draft_model_that_helps_may_read_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
