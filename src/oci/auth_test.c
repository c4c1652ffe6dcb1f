#include "oci/auth.h"
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <uv.h>
#include <cmocka.h>

struct fixture {
	uv_loop_t loop;
	struct transfer_pool *transfers;
	struct tokencache tokens;
	struct weburl url;
	struct reach reach;
	struct auth *auth;
	struct challenge challenge;
	unsigned number;
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	struct err e;
	setenv("DOCKER_CONFIG", "/nonexistent", 1);
	uv_loop_init(&f->loop);
	f->transfers = transfer_pool_new(&f->loop);
	tokencache_init(&f->tokens);
	assert_int_equal(weburl_parse(STR("https://reg.test"), &f->url, &e), 0);
	f->auth = auth_new(&(struct auth_config){ .loop = &f->loop,
						  .transfers = f->transfers,
						  .tokens = &f->tokens,
						  .registry = "reg.test",
						  .repository = "ai/x",
						  .url = &f->url,
						  .reach = &f->reach });
	challenge_parse(STR("Basic realm=\"x\""), &f->challenge);
	assert_null(auth_field(f->auth, &f->number));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	auth_free(f->auth);
	transfer_pool_free(f->transfers);
	tokencache_fini(&f->tokens);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

static void on_told(void *ctx, int outcome, const struct err *e)
{
	int *told = ctx;
	assert_int_equal(outcome, -1);
	assert_int_equal(e->code, ERR_AUTH);
	(*told)++;
}

static void wait_for(struct fixture *f, struct auth_wait *w, int *told)
{
	struct err e;
	w->fn = on_told;
	w->ctx = told;
	assert_int_equal(auth_answer(f->auth, &f->challenge, f->number, w, &e),
			 0);
}

static void who_comes_after_all_have_left_joins_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	struct auth_wait first, second;
	int told = 0;
	wait_for(f, &first, &told);
	auth_leave(&first);
	wait_for(f, &second, &told);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(told, 1);
}

/* Under the address sanitizer this shows what would be told later. */
static void nothing_is_told_to_one_that_is_freed(void **state)
{
	struct fixture *f = *state;
	struct auth_wait first, second;
	int told = 0;
	wait_for(f, &first, &told);
	auth_leave(&first);
	wait_for(f, &second, &told);
	auth_leave(&second);
	auth_free(steal(&f->auth));
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(told, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_comes_after_all_have_left_joins_what_is_under_way),
		TEST(nothing_is_told_to_one_that_is_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
