#include "io/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

struct task {
	uv_thread_t worker;
	int returns;
	int outcome;
	int dones;
	struct err err;
};

static int work(void *ctx, struct err *e)
{
	struct task *t = ctx;
	t->worker = uv_thread_self();
	return t->returns < 0 ? err_set(e, ERR_CORRUPT, "bad blob")
			      : t->returns;
}

static void on_done(void *ctx, int outcome, const struct err *e)
{
	struct task *t = ctx;
	t->dones++;
	t->outcome = outcome;
	t->err = *e;
}

static void run(struct task *t)
{
	uv_loop_t loop;
	alarm(30);
	uv_loop_init(&loop);
	job_start(&loop, work, on_done, t);
	assert_int_equal(t->dones, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(t->dones, 1);
}

static void work_runs_on_another_thread(void **state)
{
	(void)state;
	struct task t = { .returns = 3 };
	uv_thread_t self = uv_thread_self();
	run(&t);
	assert_false(uv_thread_equal(&t.worker, &self));
	assert_int_equal(t.outcome, 3);
}

static void a_failure_comes_with_its_reason(void **state)
{
	(void)state;
	struct task t = { .returns = -1 };
	run(&t);
	assert_int_equal(t.outcome, -1);
	assert_int_equal(t.err.code, ERR_CORRUPT);
	assert_string_equal(t.err.msg, "bad blob");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_runs_on_another_thread),
		cmocka_unit_test(a_failure_comes_with_its_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
