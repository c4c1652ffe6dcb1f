#include "engine/oom.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void the_count_stands_in_a_line_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(oom_kills_in(STR("pgfault 7\noom_kill 3\nx 1\n")), 3);
	assert_int_equal(oom_kills_in(STR("oom_kill 0")), 0);
	assert_int_equal(oom_kills_in(STR("drop_oom_kill 3\n")), -1);
	assert_int_equal(oom_kills_in(STR("oom_kill_x 3\n")), -1);
	assert_int_equal(oom_kills_in(STR("oom_kill \n")), -1);
	assert_int_equal(oom_kills_in(STR("oom_kill 18446744073709551615")),
			 -1);
	assert_int_equal(oom_kills_in(STR("")), -1);
}

static void a_childs_score_has_a_most(void **state)
{
	(void)state;
	assert_int_equal(oom_score_of_child(0), 500);
	assert_int_equal(oom_score_of_child(-1000), -500);
	assert_int_equal(oom_score_of_child(500), 1000);
	assert_int_equal(oom_score_of_child(900), 1000);
}

/* As if the kernel had killed: what was counted before is made less. */
static void what_was_well_lately_may_have_been_killed(void **state)
{
	struct oom_watch w;
	(void)state;
	oom_watch_init(&w, 1000);
	assert_true(w.kills[0] >= 0 && w.kills[0] == w.kills[1]);
	w.kills[0]--;
	w.kills[1]--;
	assert_int_equal(oom_watch_came(&w), OOM_YES);
	oom_watch_well(&w, 1000 + OOM_WELL_MS - 1);
	assert_int_equal(w.kills[0], w.kills[1]);
	assert_int_equal(oom_watch_came(&w), OOM_YES);
	oom_watch_well(&w, 1000 + OOM_WELL_MS);
	assert_true(w.kills[1] > w.kills[0]);
	assert_int_equal(oom_watch_came(&w), OOM_YES);
	oom_watch_well(&w, 1000 + 2 * OOM_WELL_MS - 1);
	assert_int_equal(oom_watch_came(&w), OOM_YES);
	oom_watch_well(&w, 1000 + 2 * OOM_WELL_MS);
	assert_true(w.kills[0] == w.kills[1]);
	w.kills[0] = -1;
	assert_int_equal(oom_watch_came(&w), OOM_UNKNOWN);
}

static int score_of(int pid)
{
	char path[64];
	int score = -1;
	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &score), 1);
	fclose(f);
	return score;
}

static void who_is_offered_goes_before_us(void **state)
{
	(void)state;
	int own = score_of(getpid());
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	oom_offer(pid);
	int its = score_of(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(its, oom_score_of_child(own));
	assert_int_equal(score_of(getpid()), own);
	oom_offer(pid); /* it is gone: no harm */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_count_stands_in_a_line_of_its_own),
		cmocka_unit_test(what_was_well_lately_may_have_been_killed),
		cmocka_unit_test(a_childs_score_has_a_most),
		cmocka_unit_test(who_is_offered_goes_before_us),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
