/* Steps of making text, made and counted one by one: no time is looked at. */
#include "llama/tiny_make.h"

static void cancel(struct tiny_told *told)
{
	batch_cancel(told->task);
	told->task = NULL;
}

static void ask_text(struct tiny *t, const char *owner, uint32_t text, size_t n,
		     int64_t max_tokens, struct tiny_told *told)
{
	auto_tokens struct tokens p = { 0 };
	tiny_text(&p, text, n);
	tiny_ask(t, owner, &p, max_tokens, told);
}

/* ---- a cancel frees its place within one batch ---- */

static void a_cancel_in_the_queue_costs_no_batch(void **state)
{
	struct tiny t;
	struct tiny_told first, second;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	ask_text(&t, "", 1, 40, 4, &first);
	tiny_step(&t);
	ask_text(&t, "", 2, 500, 4, &second);
	tiny_step(&t);
	assert_int_equal(batch_open(t.b), 2);
	cancel(&second);
	tiny_step(&t);
	assert_int_equal(batch_open(t.b), 1);
	tiny_settle(&t);
	/* A batch for the first's prompt and token, and one each for the rest.
	 */
	assert_true(first.is_over && first.n == 4);
	assert_int_equal(t.n_steps, 4);
	assert_false(second.is_over);
	tiny_close(&t);
}

/* The batch that is computed when it comes is the last. */
static void a_cancel_in_a_prompt_ends_it_with_the_batch(void **state)
{
	struct tiny t;
	struct tiny_told first, second;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	ask_text(&t, "", 1, 640, 4, &first);
	ask_text(&t, "", 2, 10, 1, &second);
	tiny_step(&t);
	tiny_step(&t);
	assert_int_equal(t.b->slots[0].cells.n, 128);
	cancel(&first);
	/* The very next batch is the other's. */
	tiny_step(&t);
	assert_int_equal(t.n_steps, 3);
	assert_true(second.is_over && second.n == 1);
	assert_false(tiny_step(&t));
	assert_int_equal(batch_running(t.b), 0);
	tiny_close(&t);
}

static void a_cancel_in_an_answer_ends_it_with_the_batch(void **state)
{
	struct tiny t;
	struct tiny_told first, second;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	ask_text(&t, "", 1, 30, 500, &first);
	ask_text(&t, "", 2, 10, 1, &second);
	for (int i = 0; i < 6; i++)
		tiny_step(&t);
	assert_int_equal(first.n, 6);
	cancel(&first);
	tiny_step(&t);
	assert_int_equal(t.n_steps, 7);
	assert_int_equal(first.n, 6);
	assert_true(second.is_over && second.n == 1);
	assert_false(tiny_step(&t));
	assert_int_equal(batch_open(t.b), 0);
	tiny_close(&t);
}

/* What a cancelled prompt had computed is there for who asks the same. */
static void what_was_computed_before_a_cancel_is_kept(void **state)
{
	struct tiny t;
	struct tiny_told first, second;
	(void)state;
	tiny_open(&t, 1024, 2, 64);
	ask_text(&t, "", 1, 640, 4, &first);
	tiny_step(&t);
	tiny_step(&t);
	cancel(&first);
	ask_text(&t, "", 1, 640, 1, &second);
	tiny_settle(&t);
	assert_int_equal(second.n_cached, 128);
	assert_int_equal(t.n_steps, 640 / 64);
	tiny_close(&t);
}

/* ---- fair among callers ---- */

static void another_waits_for_one_of_a_hundred(void **state)
{
	struct tiny t;
	static struct tiny_told many[100], other;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	for (uint32_t i = 0; i < 100; i++)
		ask_text(&t, "a", i, 20, 3, &many[i]);
	tiny_step(&t);
	ask_text(&t, "b", 1000, 20, 3, &other);
	while (!other.is_over)
		assert_true(tiny_step(&t));
	/* Three batches each: the one that ran, at most one more, and its. */
	assert_true(t.n_steps <= 9);
	size_t done = 0;
	for (int i = 0; i < 100; i++)
		done += many[i].is_over;
	assert_true(done <= 2);
	tiny_settle(&t);
	for (int i = 0; i < 100; i++)
		assert_true(many[i].is_over && many[i].n == 3);
	tiny_close(&t);
}

static void a_caller_with_no_place_comes_before_one_with_some(void **state)
{
	struct tiny t;
	struct tiny_told a[6], b[2];
	(void)state;
	tiny_open(&t, 1024, 3, 64);
	for (uint32_t i = 0; i < 6; i++)
		ask_text(&t, "a", i, 10, i ? 200 : 2, &a[i]);
	tiny_step(&t);
	for (uint32_t i = 0; i < 2; i++)
		ask_text(&t, "b", 100 + i, 10, 200, &b[i]);
	while (!a[0].is_over)
		tiny_step(&t);
	/* Its place is b's; a's fourth comes after. */
	tiny_step(&t);
	tiny_step(&t);
	assert_true(b[0].n && !a[3].n && !b[1].n);
	cancel(&a[1]);
	tiny_step(&t);
	tiny_step(&t);
	/* One place each, and b's turn was the last. */
	assert_true(a[3].n && !b[1].n);
	tiny_close(&t);
}

static void a_short_prompt_is_done_while_a_long_one_goes_on(void **state)
{
	struct tiny t;
	struct tiny_told far, near;
	(void)state;
	tiny_open(&t, 4096, 2, 64);
	ask_text(&t, "a", 1, 3000, 1, &far);
	tiny_step(&t);
	ask_text(&t, "b", 2, 100, 1, &near);
	size_t before = t.b->slots[0].cells.n;
	/* Three quarters of the room: half, and its share of the other. */
	for (int i = 0; i < 3; i++)
		tiny_step(&t);
	assert_true(near.is_over && !far.is_over);
	/* No batch went by without some of the long one, and none was less
	 * than full. */
	assert_int_equal(t.b->slots[0].cells.n - before, 3 * 64 - 100);
	tiny_settle(&t);
	assert_int_equal(t.n_steps, (3000 + 100 + 63) / 64);
	tiny_close(&t);
}

static void on_told(void *ctx, const struct batch_token *token)
{
	struct tiny_told *told = ctx;
	assert_true(token->is_prompt);
	told->n++;
}

/* A prompt whose own probabilities are wanted, of which there are few in one
 * batch. */
static void ask_told(struct tiny *t, uint32_t text, size_t n,
		     struct tiny_told *told)
{
	static const struct batch_fns fns = { .on_token = on_told,
					      .on_end = tiny_on_end };
	struct sample_spec spec = { .top_p = 1, .repeat = 1, .budget = -1 };
	struct batch_ask ask = { .n_top = 0,
				 .tells_prompt = true,
				 .is_fresh = true };
	struct err e;
	tiny_text(&ask.tokens, text, n);
	assert_int_equal(sample_new(t->b->weights, &spec, &ask.sample, &e), 0);
	*told = (struct tiny_told){ 0 };
	told->task = batch_start(t->b, &ask, &fns, told);
}

static void a_prompt_that_is_told_leaves_others_their_part(void **state)
{
	struct tiny t;
	struct tiny_told far[2], near;
	(void)state;
	tiny_open(&t, 4096, 3, 64);
	for (uint32_t i = 0; i < 2; i++)
		ask_told(&t, i, 1000, &far[i]);
	tiny_step(&t);
	ask_text(&t, "b", 2, 100, 1, &near);
	/* As the shortest it has more than half of each batch. */
	for (int i = 0; i < 4; i++)
		tiny_step(&t);
	assert_true(near.is_over && !far[0].is_over && !far[1].is_over);
	tiny_settle(&t);
	assert_true(far[0].is_over && far[0].n == 1000);
	assert_true(far[1].is_over && far[1].n == 1000);
	tiny_close(&t);
}

/* ---- who does not read ---- */

static void assert_said(const struct tiny_told *a, const struct tiny_told *b)
{
	assert_true(a->is_over && b->is_over && a->n == b->n);
	assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
	assert_memory_equal(a->leads, b->leads, a->n * sizeof *a->leads);
}

static void who_does_not_read_gives_its_place_to_who_waits(void **state)
{
	struct tiny t;
	static struct tiny_told alone, slow, other;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	ask_text(&t, "", 1, 30, 50, &alone);
	tiny_settle(&t);
	ask_text(&t, "a", 1, 30, 50, &slow);
	for (int i = 0; i < 5; i++)
		tiny_step(&t);
	batch_pause(slow.task, true);
	tiny_settle(&t);
	/* Nobody wants it. */
	assert_int_equal(batch_running(t.b), 1);
	ask_text(&t, "b", 2, 10, 3, &other);
	tiny_settle(&t);
	assert_true(other.is_over && other.n == 3);
	assert_true(!slow.is_over && slow.n == 5);
	assert_int_equal(batch_running(t.b), 0);
	batch_pause(slow.task, false);
	tiny_settle(&t);
	assert_said(&slow, &alone);
	assert_int_equal(batch_open(t.b), 0);
	tiny_close(&t);
}

/* Two texts that fit one by one but not together: the younger has to leave. */
static void ask_two(struct tiny *t, const char *owner, bool is_one_by_one,
		    struct tiny_told told[2])
{
	for (uint32_t i = 0; i < 2; i++) {
		ask_text(t, owner, i, 90, 100, &told[i]);
		if (is_one_by_one)
			tiny_settle(t);
	}
}

static void who_does_not_read_keeps_no_room_from_who_had_to_leave(void **state)
{
	struct tiny t;
	static struct tiny_told alone[2], both[2];
	(void)state;
	tiny_open(&t, 256, 2, 64);
	ask_two(&t, "", true, alone);
	ask_two(&t, "a", false, both);
	while (!t.b->is_full)
		assert_true(tiny_step(&t));
	batch_pause(both[0].task, true);
	tiny_settle(&t);
	assert_said(&both[1], &alone[1]);
	batch_pause(both[0].task, false);
	tiny_settle(&t);
	assert_said(&both[0], &alone[0]);
	tiny_close(&t);
}

/* Else a caller could have as many tasks before all others' as he likes. */
static void who_reads_on_takes_its_turn_again(void **state)
{
	struct tiny t;
	static struct tiny_told first, slow, near, far;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	ask_text(&t, "a", 1, 10, 2, &first);
	tiny_step(&t);
	ask_text(&t, "b", 2, 10, 50, &slow);
	ask_text(&t, "c", 3, 10, 3, &near);
	ask_text(&t, "d", 4, 10, 3, &far);
	while (!slow.n)
		assert_true(tiny_step(&t));
	batch_pause(slow.task, true);
	while (!near.n)
		assert_true(tiny_step(&t));
	batch_pause(slow.task, false);
	while (!far.is_over)
		assert_true(tiny_step(&t));
	assert_true(near.is_over && slow.n == 1);
	tiny_settle(&t);
	assert_true(slow.is_over && slow.n == 50);
	tiny_close(&t);
}

static void who_leaves_without_a_place_is_forgotten(void **state)
{
	struct tiny t;
	static struct tiny_told slow, other;
	(void)state;
	tiny_open(&t, 1024, 1, 64);
	ask_text(&t, "a", 1, 30, 50, &slow);
	tiny_step(&t);
	batch_pause(slow.task, true);
	ask_text(&t, "b", 2, 10, 3, &other);
	tiny_settle(&t);
	cancel(&slow);
	tiny_settle(&t);
	assert_int_equal(batch_open(t.b), 0);
	assert_int_equal(batch_running(t.b), 0);
	tiny_close(&t);
}

/* ---- the context is full ---- */

static void a_full_context_ends_with_length_and_shifts_nothing(void **state)
{
	struct tiny t;
	static struct tiny_told told;
	(void)state;
	tiny_open(&t, 256, 2, 64);
	ask_text(&t, "", 1, 200, -1, &told);
	tiny_settle(&t);
	assert_true(told.is_over && told.why == BATCH_LENGTH);
	assert_int_equal(told.n, 256 - 200);
	/* All of it is where it was: the last token alone was not computed. */
	assert_int_equal(t.b->slots[0].cells.n, 255);
	assert_int_equal(llama_memory_seq_pos_min(t.b->memory, 0), 0);
	assert_int_equal(llama_memory_seq_pos_max(t.b->memory, 0), 254);
	tiny_close(&t);
}

static void who_must_leave_for_lack_of_room_says_the_same(void **state)
{
	struct tiny t;
	static struct tiny_told alone[2], both[2];
	(void)state;
	tiny_open(&t, 256, 2, 64);
	ask_two(&t, "", true, alone);
	tiny_close(&t);
	tiny_open(&t, 256, 2, 64);
	ask_two(&t, "", false, both);
	tiny_settle(&t);
	for (int i = 0; i < 2; i++) {
		assert_true(both[i].why == BATCH_LENGTH && both[i].n == 100);
		assert_said(&both[i], &alone[i]);
	}
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cancel_in_the_queue_costs_no_batch),
		cmocka_unit_test(a_cancel_in_a_prompt_ends_it_with_the_batch),
		cmocka_unit_test(a_cancel_in_an_answer_ends_it_with_the_batch),
		cmocka_unit_test(what_was_computed_before_a_cancel_is_kept),
		cmocka_unit_test(another_waits_for_one_of_a_hundred),
		cmocka_unit_test(
			a_caller_with_no_place_comes_before_one_with_some),
		cmocka_unit_test(
			a_short_prompt_is_done_while_a_long_one_goes_on),
		cmocka_unit_test(
			a_prompt_that_is_told_leaves_others_their_part),
		cmocka_unit_test(
			who_does_not_read_gives_its_place_to_who_waits),
		cmocka_unit_test(
			who_does_not_read_keeps_no_room_from_who_had_to_leave),
		cmocka_unit_test(who_reads_on_takes_its_turn_again),
		cmocka_unit_test(who_leaves_without_a_place_is_forgotten),
		cmocka_unit_test(
			a_full_context_ends_with_length_and_shifts_nothing),
		cmocka_unit_test(who_must_leave_for_lack_of_room_says_the_same),
	};
	return cmocka_run_group_tests(tests, tiny_load, tiny_unload);
}
