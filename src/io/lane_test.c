#include "io/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>
#include <cmocka.h>

#define JOBS 20

struct fixture {
	uv_loop_t loop;
	struct lane *lane;
	struct lane_job jobs[JOBS + 1];
	pid_t loop_thread;
	atomic_int running, most, niceness;
	int done;
};

static int work(void *ctx, struct err *e)
{
	struct fixture *f = ctx;
	int now = atomic_fetch_add(&f->running, 1) + 1;
	if (now > atomic_load(&f->most))
		atomic_store(&f->most, now);
	assert_true(gettid() != f->loop_thread);
	atomic_store(&f->niceness, getpriority(PRIO_PROCESS, (id_t)gettid()));
	uv_sleep(1);
	atomic_fetch_sub(&f->running, 1);
	return err_set(e, ERR_CORRUPT, "as it shall");
}

static void on_last(void *ctx, int outcome, const struct err *e)
{
	struct fixture *f = ctx;
	(void)e;
	assert_int_equal(outcome, -1);
	f->done++;
}

static void on_done(void *ctx, int outcome, const struct err *e)
{
	struct fixture *f = ctx;
	assert_int_equal(gettid(), f->loop_thread);
	assert_int_equal(outcome, -1);
	assert_int_equal(e->code, ERR_CORRUPT);
	if (++f->done == JOBS)
		lane_start(f->lane, &f->jobs[JOBS], work, on_last, f);
}

static void so_many_run_at_once_and_all_come_to_their_end(void **state)
{
	struct fixture f = { .loop_thread = gettid() };
	(void)state;
	uv_loop_init(&f.loop);
	f.lane = lane_new(&f.loop, 2, NULL);
	for (int turn = 1; turn <= 2; turn++) {
		for (int i = 0; i < JOBS; i++)
			lane_start(f.lane, &f.jobs[i], work, on_done, &f);
		assert_int_equal(f.done, 0);
		/* The loop runs out when all is done, and not before. */
		uv_run(&f.loop, UV_RUN_DEFAULT);
		assert_int_equal(f.done, JOBS + 1);
		f.done = 0;
	}
	assert_in_range(atomic_load(&f.most), 1, 2);
	assert_int_equal(atomic_load(&f.niceness),
			 MIN(getpriority(PRIO_PROCESS, 0) + 10, 19));
	lane_free(f.lane);
	assert_int_equal(uv_loop_close(&f.loop), 0);
}

/* ---- under a brake ---- */

struct braked {
	uv_loop_t loop;
	struct brake *brake;
	struct lane *lane;
	struct lane_job jobs[JOBS];
	atomic_bool may_go;
	atomic_int early, pieces;
	int done;
};

static int work_in_pieces(void *ctx, struct err *e)
{
	struct braked *b = ctx;
	(void)e;
	for (int i = 0; i < 3; i++) {
		atomic_fetch_add(&b->early, !atomic_load(&b->may_go));
		atomic_fetch_add(&b->pieces, 1);
		lane_pass(b->lane);
	}
	return 0;
}

static void on_braked_done(void *ctx, int outcome, const struct err *e)
{
	(void)outcome;
	(void)e;
	((struct braked *)ctx)->done++;
}

static void no_job_begins_while_somebody_answers(void **state)
{
	const uint64_t day_ms = 86400000;
	struct braked b = { .brake = brake_new(day_ms, 1) };
	(void)state;
	uv_loop_init(&b.loop);
	b.lane = lane_new(&b.loop, 2, b.brake);
	brake_press(b.brake);
	for (int i = 0; i < JOBS; i++)
		lane_start(b.lane, &b.jobs[i], work_in_pieces, on_braked_done,
			   &b);
	/* Both threads stand there, each with its first job. */
	while (brake_facts(b.brake).waits < 2)
		uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_int_equal(b.done, 0);
	atomic_store(&b.may_go, true);
	brake_release(b.brake);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_int_equal(b.done, JOBS);
	assert_int_equal(atomic_load(&b.pieces), 3 * JOBS);
	assert_int_equal(atomic_load(&b.early), 0);
	lane_free(b.lane);
	brake_free(b.brake);
	assert_int_equal(uv_loop_close(&b.loop), 0);
}

/* Presses it before it ends, and so finds out whether the next piece waits. */
static int press_in_the_middle(void *ctx, struct err *e)
{
	struct braked *b = ctx;
	(void)e;
	brake_press(b->brake);
	lane_pass(b->lane);
	atomic_fetch_add(&b->early, !atomic_load(&b->may_go));
	return 0;
}

static void a_job_stops_between_its_pieces(void **state)
{
	const uint64_t day_ms = 86400000;
	struct braked b = { .brake = brake_new(day_ms, 1) };
	(void)state;
	uv_loop_init(&b.loop);
	b.lane = lane_new(&b.loop, 1, b.brake);
	lane_start(b.lane, &b.jobs[0], press_in_the_middle, on_braked_done, &b);
	while (!brake_facts(b.brake).waits)
		uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_int_equal(b.done, 0);
	atomic_store(&b.may_go, true);
	brake_release(b.brake);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_int_equal(b.done, 1);
	assert_int_equal(atomic_load(&b.early), 0);
	lane_free(b.lane);
	brake_free(b.brake);
	assert_int_equal(uv_loop_close(&b.loop), 0);
}

static void one_without_jobs_has_nothing_to_end(void **state)
{
	uv_loop_t loop;
	(void)state;
	uv_loop_init(&loop);
	lane_free(lane_new(&loop, 2, NULL));
	lane_free(NULL);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_run_at_once_and_all_come_to_their_end),
		cmocka_unit_test(no_job_begins_while_somebody_answers),
		cmocka_unit_test(a_job_stops_between_its_pieces),
		cmocka_unit_test(one_without_jobs_has_nothing_to_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
