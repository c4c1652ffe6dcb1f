/* Slots without a llama_context: llama.cpp's functions on memory do nothing
 * without one, and what is in whose slot is ours to count. */
#include "llama/prefix.h"

#include "llama/batch_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define SLOTS 3

struct bench {
	struct batch b;
	struct slot slots[SLOTS];
	size_t shared[SLOTS][SLOTS];
};

static int make(void **state)
{
	struct bench *t = xcalloc(1, sizeof *t);
	t->b.facts.slots = SLOTS;
	t->b.slots = t->slots;
	keep_init(&t->b.keep, 0);
	for (int i = 0; i < SLOTS; i++) {
		t->slots[i].seq = i;
		t->slots[i].shared = t->shared[i];
	}
	*state = t;
	return 0;
}

static int unmake(void **state)
{
	struct bench *t = *state;
	for (int i = 0; i < SLOTS; i++)
		tokens_fini(&t->slots[i].cells);
	free(t);
	return 0;
}

static void init(struct batch_task *t, const char *owner, int first, int n)
{
	*t = (struct batch_task){ 0 };
	snprintf(t->ask.owner.name, sizeof t->ask.owner.name, "%s", owner);
	for (int i = 0; i < n; i++)
		tokens_push(&t->ask.tokens, first + i);
}

/* As decode.c does it: a place, then all that is missing. */
static struct slot *place(struct bench *t, struct batch_task *task,
			  size_t *cached)
{
	struct slot *s = prefix_place(&t->b, task);
	if (!s)
		return NULL;
	*cached = s->cells.n;
	while (s->cells.n < task->ask.tokens.n)
		tokens_push(&s->cells, task->ask.tokens.p[s->cells.n]);
	s->task = task;
	return s;
}

/* Asks, and is done; gives how much of the prompt was there already. */
static size_t ask(struct bench *t, const char *owner, int first, int n)
{
	struct batch_task task;
	size_t cached = 0;
	init(&task, owner, first, n);
	struct slot *s = place(t, &task, &cached);
	assert_non_null(s);
	s->task = NULL;
	tokens_fini(&task.ask.tokens);
	return cached;
}

static void the_same_owner_uses_its_cells_again(void **state)
{
	assert_int_equal(ask(*state, "a", 1, 100), 0);
	assert_int_equal(ask(*state, "a", 1, 120), 100);
	assert_int_equal(ask(*state, "a", 1, 120), 119);
}

static void nobody_uses_what_another_had_computed(void **state)
{
	assert_int_equal(ask(*state, "a", 1, 100), 0);
	assert_int_equal(ask(*state, "b", 1, 100), 0);
	assert_int_equal(ask(*state, "", 1, 100), 0);
	/* And it took nothing away: there were slots enough. */
	assert_int_equal(ask(*state, "a", 1, 100), 99);
	assert_int_equal(ask(*state, "b", 1, 100), 99);
	assert_int_equal(ask(*state, "", 1, 100), 99);
}

static void a_name_that_begins_like_another_is_another(void **state)
{
	char longest[LIMIT_CACHE_ID_BYTES + 1], other[sizeof longest];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	memcpy(other, longest, sizeof longest);
	other[sizeof other - 2] = 'y';
	assert_int_equal(ask(*state, longest, 1, 100), 0);
	assert_int_equal(ask(*state, other, 1, 100), 0);
	assert_int_equal(ask(*state, longest, 1, 100), 99);
	assert_int_equal(ask(*state, "x", 1, 100), 0);
}

static void a_prompt_being_computed_is_shared_with_its_owner_only(void **state)
{
	struct bench *t = *state;
	struct batch_task running;
	size_t cached;
	init(&running, "a", 1, 100);
	struct slot *busy = place(t, &running, &cached);
	assert_non_null(busy);
	assert_int_equal(ask(t, "b", 1, 100), 0);
	assert_int_equal(ask(t, "a", 1, 100), 99);
	assert_ptr_equal(busy->task, &running);
	tokens_fini(&running.ask.tokens);
}

static void a_slot_that_changes_hands_brings_nothing_along(void **state)
{
	struct bench *t = *state;
	struct batch_task running[SLOTS - 1];
	size_t cached;
	/* One slot is left for everybody. */
	for (int i = 0; i < SLOTS - 1; i++) {
		init(&running[i], "c", 1000 * (i + 1), 10);
		assert_non_null(place(t, &running[i], &cached));
	}
	assert_int_equal(ask(t, "a", 1, 100), 0);
	assert_int_equal(ask(t, "b", 1, 100), 0);
	assert_int_equal(ask(t, "b", 1, 100), 99);
	assert_int_equal(ask(t, "a", 1, 100), 0);
	for (int i = 0; i < SLOTS - 1; i++)
		tokens_fini(&running[i].ask.tokens);
}

static void a_state_that_cannot_be_cut_is_its_owners_too(void **state)
{
	struct bench *t = *state;
	t->b.cut = BATCH_CUT_NOWHERE;
	assert_int_equal(ask(t, "a", 1, 100), 0);
	assert_int_equal(ask(t, "b", 1, 120), 0);
	assert_int_equal(ask(t, "a", 1, 120), 100);
}

static void with_all_slots_busy_a_task_waits(void **state)
{
	struct bench *t = *state;
	struct batch_task running[SLOTS], next;
	size_t cached;
	for (int i = 0; i < SLOTS; i++) {
		init(&running[i], "a", 1, 50);
		assert_non_null(place(t, &running[i], &cached));
		assert_int_equal(cached, i ? 49 : 0);
	}
	init(&next, "a", 1, 50);
	assert_null(prefix_place(&t->b, &next));
	tokens_fini(&next.ask.tokens);
	for (int i = 0; i < SLOTS; i++)
		tokens_fini(&running[i].ask.tokens);
}

static void the_slot_used_longest_ago_makes_room_whoever_owns_it(void **state)
{
	struct bench *t = *state;
	ask(t, "a", 1, 100);
	ask(t, "b", 1, 100);
	ask(t, "c", 1, 100);
	ask(t, "a", 1, 100);
	assert_true(prefix_evict(&t->b));
	assert_int_equal(ask(t, "a", 1, 100), 99);
	assert_int_equal(ask(t, "c", 1, 100), 99);
	assert_int_equal(ask(t, "b", 1, 100), 0);
}

static void a_prompt_that_wants_no_cache_gets_none(void **state)
{
	struct bench *t = *state;
	struct batch_task task;
	size_t cached;
	ask(t, "a", 1, 100);
	init(&task, "a", 1, 100);
	task.ask.is_fresh = true;
	assert_non_null(place(t, &task, &cached));
	assert_int_equal(cached, 0);
	tokens_fini(&task.ask.tokens);
}

static void what_several_share_counts_once(void **state)
{
	struct bench *t = *state;
	struct batch_task a, b, c, d;
	size_t cached;
	init(&a, "a", 1, 100);
	init(&b, "a", 1, 120);
	init(&c, "a", 1, 60);
	init(&d, "a", 1000, 10);
	assert_int_equal(prefix_cells(&t->b, &a), 101);
	place(t, &a, &cached);
	assert_int_equal(prefix_cells(&t->b, &b), 101 + 21);
	struct slot *second = place(t, &b, &cached);
	assert_int_equal(prefix_cells(&t->b, &c), 101 + 21 + 2);
	place(t, &c, &cached);
	assert_int_equal(prefix_cells(&t->b, &d), 101 + 21 + 2 + 11);
	/* What goes was not needed by the others. */
	second->task = NULL;
	prefix_clear(&t->b, second);
	assert_int_equal(prefix_cells(&t->b, &d), 101 + 2 + 11);
	t->slots[0].task = NULL;
	prefix_clear(&t->b, &t->slots[0]);
	assert_int_equal(prefix_cells(&t->b, &d), 61 + 11);
	for (struct batch_task *each[] = { &a, &b, &c, &d }, **p = each;
	     p < each + 4; p++)
		tokens_fini(&(*p)->ask.tokens);
}

static void what_is_being_computed_is_waited_for(void **state)
{
	struct bench *t = *state;
	struct batch_task leader, same, other, fresh, little;
	init(&leader, "a", 1, 100);
	init(&same, "a", 1, 90);
	init(&other, "b", 1, 90);
	init(&fresh, "a", 1, 90);
	fresh.ask.is_fresh = true;
	init(&little, "a", 1, 30);
	assert_false(prefix_is_coming(&t->b, &same));
	struct slot *s = prefix_place(&t->b, &leader);
	s->task = &leader;
	assert_true(prefix_is_coming(&t->b, &same));
	assert_false(prefix_is_coming(&t->b, &other));
	assert_false(prefix_is_coming(&t->b, &fresh));
	assert_false(prefix_is_coming(&t->b, &little));
	while (s->cells.n < 70)
		tokens_push(&s->cells, leader.ask.tokens.p[s->cells.n]);
	assert_false(prefix_is_coming(&t->b, &same));
	for (struct batch_task *
		     each[] = { &leader, &same, &other, &fresh, &little },
		    **p = each;
	     p < each + 5; p++)
		tokens_fini(&(*p)->ask.tokens);
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(the_same_owner_uses_its_cells_again),
		ROW(nobody_uses_what_another_had_computed),
		ROW(a_name_that_begins_like_another_is_another),
		ROW(a_prompt_being_computed_is_shared_with_its_owner_only),
		ROW(a_slot_that_changes_hands_brings_nothing_along),
		ROW(a_state_that_cannot_be_cut_is_its_owners_too),
		ROW(with_all_slots_busy_a_task_waits),
		ROW(the_slot_used_longest_ago_makes_room_whoever_owns_it),
		ROW(a_prompt_that_wants_no_cache_gets_none),
		ROW(what_several_share_counts_once),
		ROW(what_is_being_computed_is_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
