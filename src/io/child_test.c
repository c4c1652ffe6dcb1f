#include "base/limits.h"
#include "io/child.h"
#include "io/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include <cmocka.h>

struct place {
	uv_loop_t loop;
	struct child *c;
	struct buf lines; /* "1:text\n" for each line of output 1 */
	size_t longest;
	bool frees_at_line;
	bool is_over;
	int status, signal;
};

static void on_line(void *ctx, enum child_output from, struct str line)
{
	struct place *p = ctx;
	assert_false(p->is_over);
	p->longest = MAX(p->longest, line.n);
	assert_int_equal(
		buf_printf(&p->lines, "%d:%.*s\n", (int)from, STR_ARG(line)),
		0);
	if (p->frees_at_line)
		child_free(steal(&p->c));
}

static void on_exit_told(void *ctx, int status, int signal)
{
	struct place *p = ctx;
	assert_false(p->is_over);
	p->is_over = true;
	p->status = status;
	p->signal = signal;
}

static const struct child_fns fns = { on_line, on_exit_told };

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	alarm(60);
	uv_loop_init(&p->loop);
	buf_init(&p->lines, SIZE_MAX / 2);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	child_free(p->c);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	buf_fini(&p->lines);
	free(p);
	return 0;
}

static void start(struct place *p, const char *script)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)script,
			 NULL };
	struct err e;
	assert_int_equal(child_start(&p->loop, argv, NULL, &fns, p, &p->c, &e),
			 0);
}

static void run(struct place *p, const char *script)
{
	start(p, script);
	while (!p->is_over)
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void wait_for(struct place *p, const char *text)
{
	while (!strstr(buf_str(&p->lines).p, text))
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void each_output_comes_line_by_line(void **state)
{
	struct place *p = *state;
	run(p, "echo one; echo; printf 'two\\nthree'");
	assert_string_equal(p->lines.p, "0:one\n0:\n0:two\n0:three\n");
	assert_int_equal(p->status, 0);
	buf_clear(&p->lines);
	child_free(steal(&p->c));
	p->is_over = false;
	run(p, "echo bad >&2; exit 3");
	assert_string_equal(p->lines.p, "1:bad\n");
	assert_int_equal(p->status, 3);
	assert_int_equal(p->signal, 0);
	buf_clear(&p->lines);
	child_free(steal(&p->c));
	p->is_over = false;
	run(p, "echo '{\"event\":1}' >&3");
	assert_string_equal(p->lines.p, "2:{\"event\":1}\n");
}

static void all_that_was_written_comes_before_the_end(void **state)
{
	struct place *p = *state;
	/* A grandchild keeps the outputs open. */
	run(p, "sleep 50 & seq 1 9000; echo last >&3; kill -9 $$");
	assert_non_null(strstr(p->lines.p, "0:9000\n"));
	assert_non_null(strstr(p->lines.p, "2:last\n"));
	assert_int_equal(p->signal, SIGKILL);
	kill(-child_pid(p->c), SIGKILL);
}

static void a_long_line_comes_in_pieces(void **state)
{
	struct place *p = *state;
	run(p, "head -c 5000 /dev/zero | tr '\\0' x; echo;"
	       "head -c 2048 /dev/zero | tr '\\0' y; echo; echo z");
	assert_int_equal(p->longest, LIMIT_LOG_LINE_BYTES);
	assert_int_equal(p->lines.n, 5000 + 3 * 3 + 2048 + 3 + 4);
	child_free(steal(&p->c));
	p->is_over = false;
	p->longest = 0;
	run(p, "head -c 9000 /dev/zero | tr '\\0' x >&3");
	assert_int_equal(p->longest, LIMIT_WORKER_EVENT_BYTES);
}

static void a_program_that_is_not_there_is_an_error(void **state)
{
	struct place *p = *state;
	char *argv[] = { (char *)"/nonexistent/program", NULL };
	struct err e;
	assert_int_equal(child_start(&p->loop, argv, NULL, &fns, p, &p->c, &e),
			 -1);
	assert_string_equal(e.msg, "start /nonexistent/program: no such file "
				   "or directory");
	assert_null(p->c);
}

static void it_is_asked_to_stop_before_it_is_killed(void **state)
{
	struct place *p = *state;
	start(p, "trap 'echo bye; exit 7' TERM; echo up; "
		 "while :; do sleep 0.01; done");
	wait_for(p, "up");
	child_stop(p->c, 30000);
	while (!p->is_over)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_non_null(strstr(p->lines.p, "0:bye\n"));
	assert_int_equal(p->status, 7);
}

static void who_does_not_stop_is_killed_with_its_children(void **state)
{
	struct place *p = *state;
	start(p, "trap '' TERM; sleep 50 & echo up; wait; sleep 50");
	wait_for(p, "up");
	child_stop(p->c, 20);
	while (!p->is_over)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_int_equal(p->signal, SIGKILL);
	/* Nobody of its group is left, but for zombies on their way out. */
	while (kill(-child_pid(p->c), 0) == 0)
		;
	assert_int_equal(errno, ESRCH);
}

static void freeing_it_kills_it_without_a_word(void **state)
{
	struct place *p = *state;
	start(p, "echo up; sleep 50");
	wait_for(p, "up");
	int pid = child_pid(p->c);
	child_free(steal(&p->c));
	uv_run(&p->loop, UV_RUN_DEFAULT); /* until it was reaped */
	assert_false(p->is_over);
	assert_int_equal(kill(pid, 0), -1);
}

static void it_can_be_freed_in_its_own_callback(void **state)
{
	struct place *p = *state;
	p->frees_at_line = true;
	start(p, "echo one; echo two; sleep 50");
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_string_equal(p->lines.p, "0:one\n");
	assert_false(p->is_over);
}

static void it_has_its_own_group_and_none_of_our_descriptors(void **state)
{
	struct place *p = *state;
	int leaky = open("/etc/passwd", O_RDONLY); /* not closed on exec */
	run(p, "[ $(ps -o pgid= -p $$) = $$ ] && echo own group;"
	       "readlink /proc/$$/fd/0; ls /proc/$$/fd | tr '\\n' ' ';"
	       "echo x > /dev/stderr");
	close(leaky);
	assert_non_null(strstr(p->lines.p, "own group"));
	assert_non_null(strstr(p->lines.p, "0:/dev/null\n"));
	assert_non_null(strstr(p->lines.p, "0:0 1 2 3 \n"));
	assert_non_null(strstr(p->lines.p, "1:x\n"));
}

static int ask(struct place *p, struct str question, struct err *e)
{
	char *argv[] = { (char *)"sh", (char *)"-c",
			 (char *)"cat; echo; wc -c < /dev/null", NULL };
	return child_start_asked(&p->loop, argv, NULL, question, &fns, p, &p->c,
				 e);
}

static void who_is_asked_reads_the_question_and_its_end(void **state)
{
	static char question[LIMIT_CHILD_INPUT_BYTES + 1];
	struct place *p = *state;
	struct err e;
	memset(question, 'q', sizeof question);
	assert_int_equal(ask(p, (struct str){ question, sizeof question }, &e),
			 -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(
		ask(p, (struct str){ question, sizeof question - 1 }, &e), 0);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_true(p->is_over);
	assert_int_equal(p->status, 0);
	size_t n = 0;
	for (size_t i = 0; i < p->lines.n; i++)
		n += p->lines.p[i] == 'q';
	assert_int_equal(n, LIMIT_CHILD_INPUT_BYTES);
	assert_non_null(strstr(p->lines.p, "0:0\n"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_output_comes_line_by_line),
		TEST(all_that_was_written_comes_before_the_end),
		TEST(a_long_line_comes_in_pieces),
		TEST(a_program_that_is_not_there_is_an_error),
		TEST(it_is_asked_to_stop_before_it_is_killed),
		TEST(who_does_not_stop_is_killed_with_its_children),
		TEST(freeing_it_kills_it_without_a_word),
		TEST(it_can_be_freed_in_its_own_callback),
		TEST(it_has_its_own_group_and_none_of_our_descriptors),
		TEST(who_is_asked_reads_the_question_and_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
