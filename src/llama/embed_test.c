/* Steps of making vectors, made and counted one by one: no time is looked at.
 */
#include "llama/tiny_make.h"

#define SLOTS 4
#define CONTEXT 64

struct told {
	bool is_over;
	float first; /* number of its vector */
	size_t step;
	const struct tiny *t;
};

static void open_vectors(struct tiny *t)
{
	struct batch_options o = { .weights = tiny_weights,
				   .context = CONTEXT,
				   .slots = SLOTS,
				   .threads = 1,
				   .batch_tokens = CONTEXT,
				   .pooling = LLAMA_POOLING_TYPE_MEAN };
	struct err e;
	t->n_steps = 0;
	assert_int_equal(uv_loop_init(&t->loop), 0);
	assert_int_equal(batch_new_still(&t->loop, &o, &t->b, &e), 0);
	assert_true(batch_facts(t->b)->is_embedding);
}

static void on_vector(void *ctx, float *v, size_t n)
{
	struct told *told = ctx;
	assert_int_equal(n, TINY_WIDTH);
	told->first = v[0];
}

static void on_end(void *ctx, enum batch_end why, const struct err *e)
{
	struct told *told = ctx;
	(void)e;
	assert_int_equal(why, BATCH_STOP);
	told->is_over = true;
	told->step = told->t->n_steps;
}

static void ask_vector(struct tiny *t, const char *owner, uint32_t text,
		       size_t n, struct told *told)
{
	static const struct batch_fns fns = { .on_vector = on_vector,
					      .on_end = on_end };
	struct batch_ask ask = { .n_top = -1 };
	snprintf(ask.owner.name, sizeof ask.owner.name, "%s", owner);
	tiny_text(&ask.tokens, text, n);
	*told = (struct told){ .t = t };
	batch_start(t->b, &ask, &fns, told);
}

static void a_hundred_texts_make_another_wait_for_one_batch(void **state)
{
	struct tiny t;
	struct told many[100], other;
	(void)state;
	open_vectors(&t);
	for (uint32_t i = 0; i < 100; i++)
		ask_vector(&t, "a", i, 10, &many[i]);
	tiny_step(&t);
	ask_vector(&t, "b", 500, 10, &other);
	tiny_settle(&t);
	assert_true(other.is_over);
	assert_int_equal(other.step, 2);
	/* 101 texts, four at a time; each caller's in order. */
	assert_int_equal(t.n_steps, 26);
	for (int i = 0; i < 100; i++)
		assert_true(many[i].is_over &&
			    (i == 0 || many[i].step >= many[i - 1].step));
	tiny_close(&t);
}

static void a_long_text_comes_when_it_is_its_turn(void **state)
{
	struct tiny t;
	struct told many[20], other;
	(void)state;
	open_vectors(&t);
	for (uint32_t i = 0; i < 20; i++)
		ask_vector(&t, "a", i, 20, &many[i]);
	ask_vector(&t, "b", 500, CONTEXT, &other);
	tiny_settle(&t);
	/* It does not fit beside the first, and is alone in the second. */
	assert_int_equal(other.step, 2);
	tiny_close(&t);
}

static void a_vector_is_the_same_in_any_company(void **state)
{
	struct tiny t;
	struct told alone, beside[SLOTS];
	(void)state;
	open_vectors(&t);
	ask_vector(&t, "a", 7, 12, &alone);
	tiny_settle(&t);
	for (uint32_t i = 0; i < SLOTS; i++)
		ask_vector(&t, "b", 5 + i, 12, &beside[i]);
	tiny_settle(&t);
	assert_true(alone.first == beside[2].first);
	assert_true(alone.first != beside[1].first);
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_hundred_texts_make_another_wait_for_one_batch),
		cmocka_unit_test(a_long_text_comes_when_it_is_its_turn),
		cmocka_unit_test(a_vector_is_the_same_in_any_company),
	};
	return cmocka_run_group_tests(tests, tiny_load, tiny_unload);
}
