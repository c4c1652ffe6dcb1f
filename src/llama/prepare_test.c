#include "llama/prepare.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define MOST 16
#define LARGE (1u << 20)

/* A request whose work lasts until it is told to end. */
struct request {
	struct prepare_job job;
	struct fixture *f;
	char name;
	sem_t end;
	int fails; /* what work gives */
	int outcome;
	bool is_done;
};

struct fixture {
	uv_loop_t loop;
	struct prepare *p;
	struct request all[MOST];
	size_t n;
	pthread_mutex_t mutex; /* of what follows */
	char begun[MOST + 1];  /* names, in the order in which they began */
	size_t n_begun;
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	alarm(60);
	uv_loop_init(&f->loop);
	f->p = prepare_new(&f->loop);
	pthread_mutex_init(&f->mutex, NULL);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	prepare_free(f->p);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (size_t i = 0; i < f->n; i++)
		sem_destroy(&f->all[i].end);
	pthread_mutex_destroy(&f->mutex);
	free(f);
	return 0;
}

static int work(void *ctx, struct err *e)
{
	struct request *r = ctx;
	struct fixture *f = r->f;
	pthread_mutex_lock(&f->mutex);
	f->begun[f->n_begun++] = r->name;
	pthread_mutex_unlock(&f->mutex);
	while (sem_wait(&r->end))
		continue;
	if (prepare_check(&r->job, e))
		return -1;
	return r->fails ? err_set(e, ERR_INVALID, "as it shall") : 0;
}

static void on_done(void *ctx, int outcome, const struct err *e)
{
	struct request *r = ctx;
	assert_false(r->is_done);
	r->is_done = true;
	r->outcome = outcome;
	if (outcome < 0)
		assert_string_equal(e->msg, "as it shall");
}

static struct request *start_any(struct fixture *f, char name,
				 const char *caller, size_t n_bytes,
				 bool has_pictures)
{
	struct request *r = &f->all[f->n++];
	struct prepare_ask ask = { .caller = str_of(caller),
				   .n_bytes = n_bytes,
				   .has_pictures = has_pictures,
				   .work = work,
				   .done = on_done,
				   .ctx = r };
	r->f = f;
	r->name = name;
	sem_init(&r->end, 0, 0);
	prepare_start(f->p, &r->job, &ask);
	return r;
}

static struct request *start(struct fixture *f, char name, const char *caller,
			     size_t n_bytes)
{
	return start_any(f, name, caller, n_bytes, false);
}

static size_t count_begun(struct fixture *f)
{
	pthread_mutex_lock(&f->mutex);
	size_t n = f->n_begun;
	pthread_mutex_unlock(&f->mutex);
	return n;
}

/* Exactly these have begun, in any order; what may begin does so at once. */
static void expect_begun(struct fixture *f, const char *names)
{
	while (count_begun(f) < strlen(names))
		uv_sleep(1);
	pthread_mutex_lock(&f->mutex);
	assert_int_equal(f->n_begun, strlen(names));
	for (const char *c = names; *c; c++)
		assert_non_null(memchr(f->begun, *c, f->n_begun));
	pthread_mutex_unlock(&f->mutex);
}

static void finish(struct request *r)
{
	sem_post(&r->end);
	while (!r->is_done)
		uv_run(&r->f->loop, UV_RUN_ONCE);
}

/* ---- how many at a time ---- */

static void two_are_prepared_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct request *a = start(f, 'a', "", 10), *b = start(f, 'b', "", 10),
		       *c = start(f, 'c', "", 10);
	expect_begun(f, "ab");
	assert_int_equal(prepare_count(f->p), 3);
	finish(b);
	expect_begun(f, "abc");
	finish(a);
	finish(c);
	assert_int_equal(a->outcome, 0);
	assert_int_equal(prepare_count(f->p), 0);
}

static void a_large_one_is_in_no_small_ones_way(void **state)
{
	struct fixture *f = *state;
	struct request *a = start(f, 'A', "x", LARGE),
		       *b = start(f, 'B', "y", LARGE),
		       *c = start(f, 'c', "z", 10), *d = start(f, 'd', "z", 10);
	expect_begun(f, "Ac");
	finish(c);
	expect_begun(f, "Acd");
	finish(d);
	/* There is room, but not for a second large one. */
	expect_begun(f, "Acd");
	finish(a);
	expect_begun(f, "AcdB");
	finish(b);
}

static void pictures_are_read_one_at_a_time_beside_texts(void **state)
{
	struct fixture *f = *state;
	struct request *p = start_any(f, 'p', "", LARGE, true),
		       *q = start_any(f, 'q', "", LARGE, true),
		       *a = start(f, 'A', "", LARGE),
		       *b = start(f, 'b', "", 10);
	expect_begun(f, "pAb");
	finish(p);
	expect_begun(f, "pAbq");
	finish(q);
	finish(a);
	finish(b);
}

/* ---- whose turn it is ---- */

static void callers_take_turns(void **state)
{
	struct fixture *f = *state;
	struct request *one = start(f, '1', "x", 10),
		       *two = start(f, '2', "x", 10);
	expect_begun(f, "12");
	/* Two of one caller's wait already, and one of another's comes. */
	struct request *three = start(f, '3', "x", 10),
		       *four = start(f, '4', "x", 10),
		       *y = start(f, 'y', "y", 10);
	finish(one);
	expect_begun(f, "12y");
	finish(two);
	expect_begun(f, "12y3");
	struct request *z = start(f, 'z', "y", 10);
	finish(y);
	expect_begun(f, "12y3z");
	finish(z);
	expect_begun(f, "12y3z4");
	finish(three);
	finish(four);
}

/* ---- leaving ---- */

static void one_that_waits_is_its_owners_at_once(void **state)
{
	struct fixture *f = *state;
	struct request *a = start(f, 'a', "", 10), *b = start(f, 'b', "", 10),
		       *c = start(f, 'c', "", 10), *d = start(f, 'd', "", 10);
	expect_begun(f, "ab");
	assert_true(prepare_leave(&c->job));
	assert_int_equal(prepare_count(f->p), 3);
	/* Nobody looks at it any more. */
	memset(&c->job, 0xff, sizeof c->job);
	finish(a);
	expect_begun(f, "abd");
	finish(b);
	finish(d);
	assert_false(c->is_done);
}

static void one_under_way_is_told_when_its_thread_is_through(void **state)
{
	struct fixture *f = *state;
	struct request *a = start(f, 'a', "", 10);
	expect_begun(f, "a");
	assert_false(prepare_leave(&a->job));
	assert_int_equal(prepare_count(f->p), 0);
	assert_false(a->is_done);
	finish(a);
	assert_int_equal(a->outcome, PREPARE_LEFT);
	assert_int_equal(prepare_count(f->p), 0);
}

static void a_failure_comes_with_its_reason(void **state)
{
	struct fixture *f = *state;
	struct request *a = start(f, 'a', "", 10);
	a->fails = 1;
	finish(a);
	assert_int_equal(a->outcome, -1);
	assert_true(prepare_leave(&a->job));
}

static void the_end_waits_for_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	struct request *a = start(f, 'a', "", 10);
	expect_begun(f, "a");
	assert_false(prepare_leave(&a->job));
	json_t *body = json_pack("{s:[i,i,i]}", "input", 1, 2, 3);
	prepare_drop(f->p, body, LARGE);
	prepare_drop(f->p, json_object(), 10);
	prepare_drop(f->p, NULL, LARGE);
	sem_post(&a->end);
	prepare_free(steal(&f->p));
	assert_true(a->is_done);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(two_are_prepared_at_a_time),
		TEST(a_large_one_is_in_no_small_ones_way),
		TEST(pictures_are_read_one_at_a_time_beside_texts),
		TEST(callers_take_turns),
		TEST(one_that_waits_is_its_owners_at_once),
		TEST(one_under_way_is_told_when_its_thread_is_through),
		TEST(a_failure_comes_with_its_reason),
		TEST(the_end_waits_for_what_is_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
