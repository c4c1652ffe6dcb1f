/* Tasks in slots without a llama_context; a turn is over when the test says so.
 */
#include "llama/lora_turn.h"

#include "llama/batch_priv.h"
#include "llama/projector_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define TASKS 4

struct bench {
	struct batch b;
	struct lora *lora;
	struct slot slots[TASKS];
	struct batch_task tasks[TASKS];
	size_t n;
};

static int make(void **state)
{
	struct bench *t = xcalloc(1, sizeof *t);
	struct err e;
	t->lora = lora_new();
	t->b.lora = t->lora;
	list_init(&t->b.active);
	*state = t;
	return lora_add(t->lora, "a.gguf", false, &e);
}

static int unmake(void **state)
{
	struct bench *t = *state;
	lora_free(t->lora);
	free(t);
	return 0;
}

/* A task with so much of the adapter. */
static struct batch_task *enter(struct bench *t, float scale)
{
	struct batch_task *task = &t->tasks[t->n];
	struct slot *s = &t->slots[t->n++];
	list_init(&task->link);
	list_push_back(&t->b.active, &task->link);
	task->ask.owner.lora.of[0] = scale;
	task->slot = s;
	s->task = task;
	lora_turn_enter(&t->b, s);
	return task;
}

/* Whose the next turn is, by their scale. */
static float next(struct bench *t)
{
	t->b.turn.began_ns = 0;
	lora_turn_choose(&t->b);
	return t->b.turn.lora.of[0];
}

static void tasks_with_the_same_adapters_have_turns_together(void **state)
{
	struct bench *t = *state;
	struct batch_task *a = enter(t, 1), *b = enter(t, 2), *c = enter(t, 1);
	assert_true(next(t) == 1);
	assert_true(lora_turn_has(&t->b, a) && lora_turn_has(&t->b, c));
	assert_false(lora_turn_has(&t->b, b));
	assert_true(next(t) == 2);
	assert_true(lora_turn_has(&t->b, b));
	/* Two tasks are not two turns. */
	assert_true(next(t) == 1 && next(t) == 2 && next(t) == 1);
}

static void a_turn_lasts_some_steps_unless_nobody_is_left_in_it(void **state)
{
	struct bench *t = *state;
	struct batch_task *a = enter(t, 1);
	enter(t, 2);
	assert_true(next(t) == 1);
	t->b.turn.began_ns = UINT64_MAX / 2; /* it is young */
	lora_turn_choose(&t->b);
	assert_true(t->b.turn.lora.of[0] == 1);
	atomic_store(&a->paused, true);
	lora_turn_choose(&t->b);
	assert_true(t->b.turn.lora.of[0] == 2);
	/* Its reader goes on, and it is next. */
	atomic_store(&a->paused, false);
	assert_true(next(t) == 1);
}

static void free_chunk(void *chunk)
{
	(void)chunk;
}

/* Encoding takes seconds, and nothing can be computed of it meanwhile. */
static void who_waits_for_a_picture_has_no_turn(void **state)
{
	static const struct projector_fns fns = { .free_chunk = free_chunk };
	struct bench *t = *state;
	struct projector p = { .fns = &fns };
	struct batch_task *a = enter(t, 1);
	struct image *i = image_new(&p, NULL);
	list_init(&p.queue);
	pthread_mutex_init(&p.mutex, NULL);
	pthread_cond_init(&p.cond, NULL);
	i->n_tokens = 16;
	runs_push(&a->ask.runs, 0, image_hold(i));
	enter(t, 2);
	/* Without a turn it is in the encoder's queue all the same. */
	assert_true(next(t) == 2 && next(t) == 2);
	assert_ptr_equal(list_pop_front(&p.queue), &i->link);
	atomic_store(&i->phase, IMAGE_DONE);
	assert_true(next(t) == 1 && next(t) == 2);
	runs_fini(&a->ask.runs);
	image_free(i); /* the queue's */
	image_free(i);
	pthread_cond_destroy(&p.cond);
	pthread_mutex_destroy(&p.mutex);
}

static void who_comes_new_waits_behind_those_that_wait(void **state)
{
	struct bench *t = *state;
	enter(t, 1);
	enter(t, 2);
	assert_true(next(t) == 1);
	for (float scale = 3; scale < 5; scale++) {
		enter(t, scale);
		assert_true(next(t) == (scale == 3 ? 2 : 1));
	}
	/* The newest came in the middle of the second turn. */
	assert_true(next(t) == 3 && next(t) == 2 && next(t) == 4);
}

static void a_model_without_adapters_has_no_turns(void **state)
{
	struct bench *t = *state;
	struct batch_task *a = enter(t, 0), *b = enter(t, 0);
	t->b.lora = NULL;
	lora_turn_choose(&t->b);
	assert_true(lora_turn_has(&t->b, a) && lora_turn_has(&t->b, b));
	assert_int_equal(t->b.turn.number, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tasks_with_the_same_adapters_have_turns_together),
		TEST(a_turn_lasts_some_steps_unless_nobody_is_left_in_it),
		TEST(who_waits_for_a_picture_has_no_turn),
		TEST(who_comes_new_waits_behind_those_that_wait),
		TEST(a_model_without_adapters_has_no_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
