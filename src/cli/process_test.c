#include "cli/process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void who_listens_is_found(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct process p;
	struct err e;
	(void)state;
	snprintf(at.sun_path, sizeof at.sun_path, "/tmp/process_test.%d",
		 (int)getpid());
	assert_int_equal(process_behind(at.sun_path, &p, &e), PROCESS_NONE);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	/* A file that nobody listens behind. */
	assert_int_equal(process_behind(at.sun_path, &p, &e), PROCESS_NONE);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(process_behind(at.sun_path, &p, &e), 0);
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.uid, geteuid());
	unlink(at.sun_path);
}

static void a_path_that_no_socket_can_have_is_an_error(void **state)
{
	char path[300];
	struct process p;
	struct err e;
	(void)state;
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(process_behind(path, &p, &e), -1);
}

/* A program with these words and this one variable, ready when it says so. */
static int start(char *const argv[], char *const env[])
{
	int ends[2];
	char byte;
	assert_int_equal(pipe(ends), 0);
	int pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		execve("/bin/sh", argv, env);
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return pid;
}

static void flags_and_variables_are_whole_words(void **state)
{
	char *const argv[] = {
		"sh",	       "-c",	   "echo; while :; do sleep 1; done",
		"sh",	       "--port",   "7",
		"--socket=/x", "--stores", NULL
	};
	char *const env[] = { "SET=1", "EMPTY=", "LONGER=2", NULL };
	(void)state;
	int pid = start(argv, env);
	assert_true(process_has_flag(pid, "port"));
	assert_true(process_has_flag(pid, "socket"));
	assert_false(process_has_flag(pid, "store"));
	assert_false(process_has_flag(pid, "por"));
	assert_true(process_has_variable(pid, "SET"));
	assert_false(process_has_variable(pid, "EMPTY"));
	assert_false(process_has_variable(pid, "LONG"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(process_has_flag(pid, "port"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_listens_is_found),
		cmocka_unit_test(a_path_that_no_socket_can_have_is_an_error),
		cmocka_unit_test(flags_and_variables_are_whole_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
