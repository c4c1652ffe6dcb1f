#include "cli/background.h"
#include "base/buf.h"
#include "cli/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_FD 3
#define TAIL_BYTES 4096

/* In the child of the child; only what is safe after fork(). */
static _Noreturn void become(char *const argv[], int log, int ready)
{
	sigset_t none;
	int nothing = open("/dev/null", O_RDONLY);
	if (setsid() < 0 || chdir("/") < 0)
		_exit(127);
	umask(022);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	/* None of the three may lie where another belongs. */
	nothing = fcntl(nothing, F_DUPFD, 10);
	log = fcntl(log, F_DUPFD, 10);
	ready = fcntl(ready, F_DUPFD, 10);
	if (dup2(nothing, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
	    dup2(ready, READY_FD) < 0)
		_exit(127);
	close_range(READY_FD + 1, ~0u, 0);
	execv(argv[0], argv);
	_exit(127);
}

/* The pid of the grandchild, whom init will collect, or -1. */
static int start(char *const argv[], int log, int ready, struct err *e)
{
	int pids[2], pid = -1;
	if (pipe2(pids, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	auto_close int from = pids[0], to = pids[1];
	int child = fork();
	if (child < 0)
		return err_sys(e, "start a process");
	if (child == 0) {
		pid = fork();
		if (pid == 0)
			become(argv, log, ready);
		_exit(write(to, &pid, sizeof pid) != sizeof pid);
	}
	waitpid(child, NULL, 0);
	close(steal_fd(&to));
	if (read(from, &pid, sizeof pid) != sizeof pid || pid < 0)
		return err_set(e, ERR_SYSTEM, "a process could not be started");
	return pid;
}

/* What it wrote to the log last, after `from`. */
static int err_log(int log, off_t from, struct err *e)
{
	char text[TAIL_BYTES];
	off_t end = lseek(log, 0, SEEK_END);
	off_t at = MAX(from, end - (off_t)sizeof text);
	ssize_t n = pread(log, text, sizeof text, at);
	struct str last =
		tool_last_line((struct str){ text, (size_t)MAX(n, 0) });
	return last.n ? err_set(e, ERR_UNAVAILABLE, "%.*s", STR_ARG(last))
		      : err_set(e, ERR_UNAVAILABLE,
				"it ended at once, without a word");
}

static int await_ready(int fd, unsigned limit_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;
	int got = poll(&p, 1, (int)limit_ms);
	if (got <= 0)
		return got;
	return read(fd, &byte, 1) == 1 ? 1 : -1;
}

int background_start(const char *const argv[], const char *log_path,
		     unsigned limit_ms, struct err *e)
{
	int ends[2];
	size_t n = 0;
	struct err unused;
	while (argv[n])
		n++;
	auto_free const char **all = xcalloc(n + 3, sizeof *all);
	memcpy(all, argv, n * sizeof *all);
	all[n] = "--ready-fd";
	all[n + 1] = "3";
	auto_close int log = open(
		log_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		0640);
	if (log < 0)
		return err_sys(e, "open the log %s", log_path);
	off_t before = lseek(log, 0, SEEK_END);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	auto_close int ready = ends[0], theirs = ends[1];
	int pid = start((char *const *)all, log, theirs, e);
	if (pid < 0)
		return -1;
	close(steal_fd(&theirs));
	int got = await_ready(ready, limit_ms);
	if (got > 0)
		return 0;
	if (got < 0)
		return err_log(log, before, e);
	if (background_stop(pid, limit_ms, &unused))
		return err_set(e, ERR_SYSTEM, "%s", unused.msg);
	return err_set(e, ERR_UNAVAILABLE,
		       "it was not ready within %u s, and was ended; see %s",
		       limit_ms / 1000, log_path);
}

int background_stop(int pid, unsigned limit_ms, struct err *e)
{
	auto_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (fd < 0)
		return errno == ESRCH ? 0 : err_sys(e, "process %d", pid);
	if (kill(pid, SIGTERM) < 0)
		return errno == ESRCH ? 0 : err_sys(e, "end process %d", pid);
	if (poll(&p, 1, (int)limit_ms) > 0)
		return 0;
	kill(pid, SIGKILL);
	return poll(&p, 1, 2000) > 0
		       ? 0
		       : err_set(e, ERR_SYSTEM, "process %d does not end", pid);
}
