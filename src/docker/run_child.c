#include "docker/run_child.h"
#include "base/limits.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_FD 3 /* as systemd passes it */
#define READY_FD 4

static void on_grace_over(void *ctx)
{
	struct run_child *c = ctx;
	if (c->pid)
		kill(c->pid, SIGKILL);
}

void run_child_init(struct run_child *c, uv_loop_t *loop)
{
	c->loop = loop;
	timer_init(&c->kill, loop, on_grace_over, c);
}

/* ---- is it ready? ---- */

static void on_closed(uv_handle_t *h)
{
	free(h);
}

static void close_ready(struct run_child *c)
{
	if (c->ready)
		uv_close((uv_handle_t *)steal(&c->ready), on_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	static char byte[8];
	(void)h;
	(void)suggested;
	*out = uv_buf_init(byte, sizeof byte);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct run_child *c = s->data;
	(void)b;
	if (n == 0)
		return;
	close_ready(c);
	if (n > 0)
		c->on_ready(c->ctx, c);
}

static void watch_ready(struct run_child *c, int fd)
{
	c->ready = xcalloc(1, sizeof *c->ready);
	int r = uv_pipe_init(c->loop, c->ready, 0);
	assert(r == 0);
	c->ready->data = c;
	r = uv_pipe_open(c->ready, fd);
	assert(r == 0);
	uv_read_start((uv_stream_t *)c->ready, on_alloc, on_read);
}

/* ---- the start ---- */

/* In the child, between fork and exec. */
static void put_fd(int from, int to)
{
	if (from >= 0 && dup2(from, to) < 0)
		_exit(126);
}

static void become(const struct run_child *c, int socket, int ready, int parent)
{
	char pid[16], fd[16];
	char *argv[10] = { (char *)"modeld-docker", (char *)c->command };
	size_t n = 2;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid(); /* Ctrl-C is for us alone: the undo has its order */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126); /* it was gone before that */
	/* Both are above where they go: see run_child_start(). */
	put_fd(socket, SOCKET_FD);
	put_fd(ready, READY_FD);
	close_range(READY_FD + 1, ~0u, 0);
	if (c->action)
		argv[n++] = (char *)c->action;
	argv[n++] = (char *)"--config";
	argv[n++] = (char *)c->config;
	argv[n++] = (char *)"--log-level";
	argv[n++] = (char *)c->log_level;
	if (ready >= 0) {
		snprintf(fd, sizeof fd, "%d", READY_FD);
		argv[n++] = (char *)"--ready-fd";
		argv[n++] = fd;
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	if (socket >= 0) {
		snprintf(pid, sizeof pid, "%d", (int)getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "1", 1);
	}
	/* Also when a newer package has replaced the file. */
	execv("/proc/self/exe", argv);
	_exit(127);
}

/* A copy that lies above what the child puts its descriptors to. */
static int lift(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, READY_FD + 1);
}

int run_child_start(struct run_child *c, struct err *e)
{
	int ends[2];
	int parent = getpid();
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	auto_close int ours = ends[0], low = ends[1];
	auto_close int theirs = lift(low), socket = lift(c->socket);
	if (theirs < 0 || (c->socket >= 0 && socket < 0))
		return err_sys(e, "start %s", c->command);
	int pid = fork();
	if (pid == 0)
		become(c, socket, c->action ? -1 : theirs, parent);
	if (pid < 0)
		return err_sys(e, "start %s", c->command);
	c->pid = pid;
	c->started_ms = timer_now_ms(c->loop);
	watch_ready(c, steal_fd(&ours));
	return 0;
}

/* ---- the end ---- */

void run_child_stop(struct run_child *c)
{
	if (!c->pid)
		return;
	kill(c->pid, SIGTERM);
	timer_start(&c->kill, LIMIT_CHILD_STOP_MS);
}

void run_child_reap(struct run_child *c)
{
	int status;
	if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	c->pid = 0;
	timer_stop(&c->kill);
	close_ready(c);
	c->on_exit(c->ctx, c, status);
}

void run_child_fini(struct run_child *c)
{
	close_ready(c);
	timer_fini(&c->kill);
}
