#include "cli/background.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/background_test.XXXXXX";
static char *log_file;

/* The words that background_start() adds come to the script as $0 and $1. */
static int start(const char *script, unsigned limit_ms, struct err *e)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	return background_start(argv, log_file, limit_ms, e);
}

static void read_log(char *out, size_t n)
{
	auto_close int fd = open(log_file, O_RDONLY);
	ssize_t got = read(fd, out, n - 1);
	out[got < 0 ? 0 : got] = '\0';
}

static void it_goes_on_in_a_session_of_its_own_until_it_is_stopped(void **state)
{
	char text[4096];
	struct err e;
	int pid = 0;
	(void)state;
	assert_int_equal(start("echo pid=$$ session=$(ps -o sid= -p $$) "
			       "cwd=$(pwd) flag=$0$1; "
			       "trap 'echo bye; exit 0' TERM; echo >&3; "
			       "while :; do sleep 0.05; done",
			       20000, &e),
			 0);
	read_log(text, sizeof text);
	const char *line = strstr(text, "pid=");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "pid=%d", &pid), 1);
	assert_int_not_equal(pid, 0);
	assert_non_null(strstr(line, "cwd=/ flag=--ready-fd3"));
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(background_stop(pid, 20000, &e), 0);
	read_log(text, sizeof text);
	assert_non_null(strstr(text, "bye"));
	assert_int_equal(background_stop(pid, 20000, &e), 0);
}

static void one_that_fails_says_why(void **state)
{
	struct err e;
	(void)state;
	assert_int_equal(
		start("echo first; echo the reason >&2; exit 1", 20000, &e),
		-1);
	assert_string_equal(e.msg, "the reason");
	/* Not what another one wrote before. */
	assert_int_equal(start("exit 1", 20000, &e), -1);
	assert_string_equal(e.msg, "it ended at once, without a word");
}

static void one_that_is_never_ready_is_ended(void **state)
{
	char text[4096];
	struct err e;
	int pid = 0;
	(void)state;
	assert_int_equal(
		start("echo slow=$$; while :; do sleep 0.05; done", 500, &e),
		-1);
	assert_non_null(strstr(e.msg, "was not ready within"));
	read_log(text, sizeof text);
	assert_int_equal(sscanf(strstr(text, "slow="), "slow=%d", &pid), 1);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
}

static void a_log_that_cannot_be_opened_starts_nothing(void **state)
{
	const char *const argv[] = { "/bin/true", NULL };
	struct err e;
	(void)state;
	assert_int_equal(
		background_start(argv, "/no/such/folder/log", 1000, &e), -1);
	assert_non_null(strstr(e.msg, "/no/such/folder/log"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			it_goes_on_in_a_session_of_its_own_until_it_is_stopped),
		cmocka_unit_test(one_that_fails_says_why),
		cmocka_unit_test(one_that_is_never_ready_is_ended),
		cmocka_unit_test(a_log_that_cannot_be_opened_starts_nothing),
	};
	/* Orphans come to us, and can be seen to have ended. */
	if (!mkdtemp(folder) || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 1;
	log_file = xasprintf("%s/log", folder);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(log_file);
	rmdir(folder);
	free(log_file);
	return failed;
}
