#include "engine/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

/* A worker whose program is a few lines of shell; it talks on descriptor 3. */
struct fixture {
	uv_loop_t loop;
	struct worker *worker;
	bool is_ready, is_gone;
	struct err cause;
};

static void on_ready(void *ctx)
{
	struct fixture *f = ctx;
	f->is_ready = true;
	uv_stop(&f->loop);
}

static void on_gone(void *ctx, const struct err *e)
{
	struct fixture *f = ctx;
	f->is_gone = true;
	f->cause = *e;
	uv_stop(&f->loop);
}

static const struct worker_fns fns = { .on_ready = on_ready,
				       .on_gone = on_gone };

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	*state = f;
	return uv_loop_init(&f->loop);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	worker_free(f->worker);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

static void begin(struct fixture *f, const char *script)
{
	struct err e;
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)script,
			 (char *)"sh", NULL };
	auto_free char *socket =
		xasprintf("/tmp/worker-test-%d.sock", (int)getpid());
	assert_int_equal(worker_start(&f->loop, argv, socket, "ai/test", &fns,
				      f, &f->worker, &e),
			 0);
}

static void run(struct fixture *f)
{
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

#define READY                                                    \
	"echo '{\"event\":\"ready\",\"context\":77,\"slots\":3," \
	"\"kind\":\"embedding\"}' >&3; "

static void ready_comes_with_what_it_tells(void **state)
{
	struct fixture *f = *state;
	begin(f, "echo '{\"event\":\"loading\",\"fraction\":0.5}' >&3; " READY
		 "read x <&3");
	run(f);
	assert_true(f->is_ready && worker_is_ready(f->worker));
	assert_int_equal(worker_facts(f->worker)->context, 77);
	assert_int_equal(worker_facts(f->worker)->slots, 3);
	assert_int_equal(worker_facts(f->worker)->mode, ENGINE_EMBEDDING);
	assert_true(worker_memory(f->worker) > 0);
}

static void a_failure_is_told_in_its_own_words(void **state)
{
	struct fixture *f = *state;
	begin(f, "echo '{\"event\":\"failed\",\"cause\":\"memory\","
		 "\"message\":\"too big\"}' >&3; exit 1");
	run(f);
	assert_true(f->is_gone && !f->is_ready);
	assert_int_equal(f->cause.code, ERR_MEMORY);
	assert_string_equal(f->cause.msg, "too big");
}

static void an_exit_quotes_the_last_line(void **state)
{
	struct fixture *f = *state;
	begin(f, "echo first >&2; echo the last one >&2; exit 7");
	run(f);
	assert_int_equal(f->cause.code, ERR_ENGINE);
	assert_non_null(strstr(f->cause.msg, "exit status 7"));
	assert_non_null(strstr(f->cause.msg, "the last one"));
	assert_null(strstr(f->cause.msg, "first"));
}

static void who_may_take_no_more_memory_is_explained(void **state)
{
	struct fixture *f = *state;
	begin(f, READY "echo 'out of memory: 7 MiB' >&2; exit 12");
	run(f);
	run(f);
	assert_true(f->is_gone);
	assert_int_equal(f->cause.code, ERR_MEMORY);
	assert_non_null(strstr(f->cause.msg, "far more memory"));
	assert_non_null(strstr(f->cause.msg, "7 MiB"));
}

static void a_killed_worker_is_explained(void **state)
{
	struct fixture *f = *state;
	begin(f, READY "kill -KILL $$");
	run(f);
	assert_true(f->is_ready);
	run(f);
	assert_true(f->is_gone);
	assert_int_equal(f->cause.code, ERR_ENGINE);
	assert_non_null(strstr(f->cause.msg, "signal 9"));
	struct err e;
	assert_true(worker_explain(f->worker, &e));
	assert_string_equal(e.msg, f->cause.msg);
	assert_int_equal(worker_memory(f->worker), 0);
}

static void nonsense_on_the_event_pipe_is_skipped(void **state)
{
	struct fixture *f = *state;
	begin(f, "echo nonsense >&3; echo '{}' >&3; echo '[1]' >&3; "
		 "echo '{\"event\":\"loading\",\"fraction\":\"x\"}' >&3; "
		 "echo '{\"event\":7}' >&3; " READY "read x <&3");
	run(f);
	assert_true(f->is_ready);
}

static void stop_ends_it(void **state)
{
	struct fixture *f = *state;
	begin(f, "trap 'exit 0' TERM; " READY "while :; do sleep 0.01; done");
	run(f);
	worker_stop(f->worker);
	assert_false(worker_is_ready(f->worker));
	run(f);
	assert_true(f->is_gone);
	assert_int_equal(f->cause.code, ERR_UNAVAILABLE);
}

static void a_missing_program_is_an_error_at_once(void **state)
{
	struct fixture *f = *state;
	struct err e;
	char *argv[] = { (char *)"/nonexistent/engine", NULL };
	assert_int_equal(worker_start(&f->loop, argv, "/tmp/none.sock", "x",
				      &fns, f, &f->worker, &e),
			 -1);
	assert_non_null(strstr(e.msg, "/nonexistent/engine"));
	f->worker = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ready_comes_with_what_it_tells),
		TEST(a_failure_is_told_in_its_own_words),
		TEST(an_exit_quotes_the_last_line),
		TEST(who_may_take_no_more_memory_is_explained),
		TEST(a_killed_worker_is_explained),
		TEST(nonsense_on_the_event_pipe_is_skipped),
		TEST(stop_ends_it),
		TEST(a_missing_program_is_an_error_at_once),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
