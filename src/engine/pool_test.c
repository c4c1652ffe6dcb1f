#include "engine/pool.h"
#include "io/brake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

/* The engine around the pool; leases go through engine.c as in the daemon. */
struct fixture {
	uv_loop_t loop;
	struct engine base;
	struct pool *pool;
	struct brake *brake; /* that opens only when all leases are over */
	const struct pool_model *next; /* what acquire() asks the pool for */
	size_t loads, failures;
};

struct asker {
	struct engine_lease lease;
	struct fixture *f;
	int outcome; /* 1 waits, 0 ready, -1 failed */
	struct err e;
};

#define READY "echo '{\"event\":\"ready\",\"context\":9,\"slots\":1}' >&3; "
#define ALIVE READY "read x <&3"

static struct pool_model model(const char *id, const char *script,
			       uint64_t bytes, char *argv[5])
{
	argv[0] = (char *)"/bin/sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)script;
	argv[3] = (char *)"sh";
	argv[4] = NULL;
	return (struct pool_model){
		.id = id, .label = id, .argv = argv, .bytes = bytes
	};
}

static int acquire(struct engine *en, struct str name,
		   const struct catalog_model *m, struct engine_lease *lease,
		   struct err *e)
{
	struct fixture *f = container_of(en, struct fixture, base);
	(void)name;
	(void)m;
	return pool_acquire(f->pool, f->next, lease, e);
}

static void release(struct engine *en, struct engine_lease *lease)
{
	pool_release(container_of(en, struct fixture, base)->pool, lease);
}

static const struct engine_kind kind = { .name = "test",
					 .acquire = acquire,
					 .release = release };

static void on_loaded(void *ctx, const char *name, uint64_t ms)
{
	(void)name;
	(void)ms;
	((struct fixture *)ctx)->loads++;
}

static void on_load_failed(void *ctx, const char *name, const struct err *e)
{
	(void)name;
	(void)e;
	((struct fixture *)ctx)->failures++;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	const uint64_t day_ms = 86400000;
	f->brake = brake_new(day_ms, 1);
	struct pool_config c = {
		.run_dir = "/tmp",
		.budget_bytes = 100,
		.keep_alive_ms = -1,
		.brake = f->brake,
		.fns = { .on_loaded = on_loaded,
			 .on_load_failed = on_load_failed },
		.ctx = f,
	};
	*state = f;
	uv_loop_init(&f->loop);
	engine_init(&f->base, &kind, "test");
	f->pool = pool_new(&f->loop, &c);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	assert_false(brake_facts(f->brake).is_held);
	brake_free(f->brake);
	pool_free(f->pool);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f->base.name);
	free(f);
	return 0;
}

static void on_ready(void *ctx, const struct err *e)
{
	struct asker *a = ctx;
	a->outcome = e ? -1 : 0;
	if (e)
		a->e = *e;
	uv_stop(&a->f->loop);
}

static void ask(struct fixture *f, struct asker *a, const struct pool_model *m)
{
	f->next = m;
	a->f = f;
	a->lease.on_ready = on_ready;
	a->lease.ctx = a;
	a->outcome = engine_acquire(&f->base, STR("x"), NULL, &a->lease, &a->e);
}

static void wait_for(struct fixture *f, const int *outcome)
{
	while (*outcome == ENGINE_WAIT)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static void count(void *ctx, const struct engine_running *r)
{
	(void)r;
	(*(size_t *)ctx)++;
}

static size_t n_running(struct fixture *f)
{
	size_t n = 0;
	pool_each_running(f->pool, "test", count, &n);
	return n;
}

static void one_load_serves_all_who_ask(void **state)
{
	struct fixture *f = *state;
	struct asker askers[20] = { 0 };
	char *argv[5];
	struct pool_model m = model("a", ALIVE, 50, argv);
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		ask(f, &askers[i], &m);
		assert_int_equal(askers[i].outcome, ENGINE_WAIT);
	}
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		wait_for(f, &askers[i].outcome);
		assert_int_equal(askers[i].outcome, 0);
		assert_non_null(askers[i].lease.target.pool);
	}
	assert_int_equal(f->loads, 1);
	assert_int_equal(n_running(f), 1);
	for (size_t i = 0; i < ARRAY_LEN(askers); i++)
		engine_release(&askers[i].lease);
	struct asker late = { 0 };
	ask(f, &late, &m);
	assert_int_equal(late.outcome, 0);
	engine_release(&late.lease);
	engine_release(&late.lease);
}

static bool is_braked(const struct fixture *f)
{
	return brake_facts(f->brake).is_held;
}

/* That all other ways to end a lease release the brake, teardown() sees. */
static void bulk_work_is_held_from_asking_to_the_last_release(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 }, b = { 0 };
	char *argv[5];
	struct pool_model m = model("a", ALIVE, 50, argv);
	assert_false(is_braked(f));
	ask(f, &a, &m);
	assert_int_equal(a.outcome, ENGINE_WAIT);
	assert_true(is_braked(f));
	wait_for(f, &a.outcome);
	ask(f, &b, &m);
	assert_int_equal(b.outcome, 0);
	engine_release(&a.lease);
	engine_release(&a.lease);
	assert_true(is_braked(f));
	engine_release(&b.lease);
	assert_false(is_braked(f));
}

static void a_load_goes_on_when_its_asker_leaves(void **state)
{
	struct fixture *f = *state;
	struct asker first = { 0 };
	char *argv[5];
	struct pool_model m = model("a", ALIVE, 50, argv);
	ask(f, &first, &m);
	engine_release(&first.lease);
	while (!f->loads)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(first.outcome, ENGINE_WAIT);
	assert_int_equal(n_running(f), 1);
}

static void a_failed_load_fails_all_and_the_next_tries_again(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 }, b = { 0 }, c = { 0 };
	char *argv[5], *argv2[5];
	struct pool_model bad = model("a", "exit 3", 50, argv);
	struct pool_model good = model("a", ALIVE, 50, argv2);
	ask(f, &a, &bad);
	ask(f, &b, &bad);
	wait_for(f, &a.outcome);
	wait_for(f, &b.outcome);
	assert_int_equal(a.outcome, -1);
	assert_int_equal(b.outcome, -1);
	assert_int_equal(f->failures, 1);
	ask(f, &c, &good);
	wait_for(f, &c.outcome);
	assert_int_equal(c.outcome, 0);
	engine_release(&c.lease);
}

static void the_least_recently_used_idle_model_makes_room(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 }, b = { 0 }, c = { 0 };
	char *av[5], *bv[5], *cv[5];
	struct pool_model ma = model("a", ALIVE, 40, av);
	struct pool_model mb = model("b", ALIVE, 40, bv);
	struct pool_model mc = model("c", ALIVE, 40, cv);
	ask(f, &a, &ma);
	wait_for(f, &a.outcome);
	ask(f, &b, &mb);
	wait_for(f, &b.outcome);
	engine_release(&a.lease);
	/* a is idle, b is busy: a goes, b stays. */
	ask(f, &c, &mc);
	wait_for(f, &c.outcome);
	assert_int_equal(c.outcome, 0);
	assert_false(pool_has(f->pool, "a", ENGINE_COMPLETION));
	assert_true(pool_has(f->pool, "b", ENGINE_COMPLETION));
	engine_release(&b.lease);
	engine_release(&c.lease);
}

static void a_load_waits_while_all_are_busy(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 }, b = { 0 };
	char *av[5], *bv[5];
	struct pool_model ma = model("a", ALIVE, 80, av);
	struct pool_model mb = model("b", ALIVE, 80, bv);
	ask(f, &a, &ma);
	wait_for(f, &a.outcome);
	ask(f, &b, &mb);
	for (int i = 0; i < 5; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(b.outcome, ENGINE_WAIT);
	assert_int_equal(f->loads, 1);
	engine_release(&a.lease);
	wait_for(f, &b.outcome);
	assert_int_equal(b.outcome, 0);
	engine_release(&b.lease);
}

/* All idle ones were sent away, one after the other, and it still did not fit.
 */
static void no_idle_model_leaves_in_vain(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 }, b = { 0 }, c = { 0 };
	char *av[5], *bv[5], *cv[5];
	struct pool_model ma = model("a", ALIVE, 60, av);
	struct pool_model mb = model("b", ALIVE, 30, bv);
	struct pool_model mc = model("c", ALIVE, 50, cv);
	ask(f, &a, &ma);
	wait_for(f, &a.outcome);
	ask(f, &b, &mb);
	wait_for(f, &b.outcome);
	engine_release(&b.lease);
	ask(f, &c, &mc);
	for (int i = 0; i < 5; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(c.outcome, ENGINE_WAIT);
	assert_true(pool_has(f->pool, "b", ENGINE_COMPLETION));
	engine_release(&a.lease);
	wait_for(f, &c.outcome);
	assert_int_equal(c.outcome, 0);
	/* b has been idle for longer, but would not have been enough. */
	assert_true(pool_has(f->pool, "b", ENGINE_COMPLETION));
	assert_false(pool_has(f->pool, "a", ENGINE_COMPLETION));
	engine_release(&c.lease);
}

/* Whoever came after a load that waits for busy models waited with it. */
static void a_load_that_waits_holds_up_no_smaller_one(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 }, b = { 0 }, c = { 0 };
	char *av[5], *bv[5], *cv[5];
	struct pool_model ma = model("a", ALIVE, 60, av);
	struct pool_model mb = model("b", ALIVE, 70, bv);
	struct pool_model mc = model("c", ALIVE, 30, cv);
	ask(f, &a, &ma);
	wait_for(f, &a.outcome);
	ask(f, &b, &mb);
	ask(f, &c, &mc);
	wait_for(f, &c.outcome);
	assert_int_equal(c.outcome, 0);
	assert_int_equal(b.outcome, ENGINE_WAIT);
	engine_release(&a.lease);
	wait_for(f, &b.outcome);
	assert_int_equal(b.outcome, 0);
	engine_release(&b.lease);
	engine_release(&c.lease);
}

static void what_never_fits_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 };
	char *argv[5];
	struct pool_model m = model("a", ALIVE, 101, argv);
	ask(f, &a, &m);
	assert_int_equal(a.outcome, -1);
	assert_int_equal(a.e.code, ERR_MEMORY);
	assert_null(a.lease.engine);
}

static void an_unused_model_leaves_after_its_time(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 };
	char *argv[5];
	struct pool_model m = model("a", ALIVE, 50, argv);
	pool_set_keep_alive(f->pool, 20);
	ask(f, &a, &m);
	wait_for(f, &a.outcome);
	engine_release(&a.lease);
	while (pool_has(f->pool, "a", ENGINE_COMPLETION))
		uv_run(&f->loop, UV_RUN_ONCE);
}

static void a_busy_model_is_unloaded_when_it_is_idle(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 };
	char *argv[5];
	struct pool_model m = model("a", ALIVE, 50, argv);
	ask(f, &a, &m);
	wait_for(f, &a.outcome);
	assert_int_equal(pool_unload(f->pool, NULL, NULL), 0);
	assert_true(pool_has(f->pool, "a", ENGINE_COMPLETION));
	engine_release(&a.lease);
	assert_false(pool_has(f->pool, "a", ENGINE_COMPLETION));
}

static void leases_outlive_a_crash(void **state)
{
	struct fixture *f = *state;
	struct asker a = { 0 };
	struct err e;
	char *argv[5];
	struct pool_model m = model("a", READY "kill -KILL $$", 50, argv);
	ask(f, &a, &m);
	wait_for(f, &a.outcome);
	assert_int_equal(a.outcome, 0);
	while (pool_has(f->pool, "a", ENGINE_COMPLETION))
		uv_run(&f->loop, UV_RUN_ONCE);
	err_set(&e, ERR_ENGINE, "cut");
	assert_true(pool_broke(&a.lease, &e));
	assert_non_null(strstr(e.msg, "signal 9"));
	engine_release(&a.lease);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_load_serves_all_who_ask),
		TEST(bulk_work_is_held_from_asking_to_the_last_release),
		TEST(a_load_goes_on_when_its_asker_leaves),
		TEST(a_failed_load_fails_all_and_the_next_tries_again),
		TEST(the_least_recently_used_idle_model_makes_room),
		TEST(a_load_waits_while_all_are_busy),
		TEST(no_idle_model_leaves_in_vain),
		TEST(a_load_that_waits_holds_up_no_smaller_one),
		TEST(what_never_fits_is_refused_at_once),
		TEST(an_unused_model_leaves_after_its_time),
		TEST(a_busy_model_is_unloaded_when_it_is_idle),
		TEST(leases_outlive_a_crash),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
