/* sandbox_try READABLE OTHER SOCKET TCP_PORT - a worker that tries to get out.
 *
 * It shuts itself in exactly as modeld-llama does, with READABLE for its model,
 * and then tries what a model's bytes may not achieve when they have taken the
 * process over. One line of JSON a try: {"try": "exec", "stage": "open",
 * "result": "EPERM"}, "ok" where it succeeded; before them
 * {"landlock": 7, ...}. OTHER is a file that it must not read, SOCKET and
 * TCP_PORT where others listen. With "free" as a fifth word it does not shut
 * itself in, and tries what does no harm. */
#include "base/base.h"
#include "llama/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static const char *readable, *other, *unix_path;
static int tcp_port;
static pid_t parent;
static char buffer[256];

/* Each gives what the system call gave: below 0 it failed, with errno. */

static long connect_to(int family, int type, const void *a, socklen_t n)
{
	auto_close int fd = socket(family, type, 0);
	return fd < 0 ? fd : connect(fd, a, n);
}

static long try_connect_unix(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path, unix_path, sizeof a.sun_path - 1);
	return connect_to(AF_UNIX, SOCK_STREAM, &a, sizeof a);
}

/* A pair made by another call, turned towards another's socket. */
static long try_pair_to_unix(void)
{
	int ends[2];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path, unix_path, sizeof a.sun_path - 1);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0)
		return -1;
	return sendto(ends[0], "x", 1, 0, (void *)&a, sizeof a);
}

static long try_connect_tcp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)tcp_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return connect_to(AF_INET, SOCK_STREAM, &a, sizeof a);
}

static long try_udp(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0);
}

static long try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long try_vsock(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static long try_read_model(void)
{
	return open(readable, O_RDONLY);
}

static long try_read_other(void)
{
	return open(other, O_RDONLY);
}

static long try_read_passwd(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static long try_read_environment_of_parent(void)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/environ", (int)parent);
	int fd = open(path, O_RDONLY);
	return fd < 0 ? fd : read(fd, buffer, sizeof buffer);
}

static long try_write_model(void)
{
	return open(readable, O_WRONLY);
}

static long try_truncate_model(void)
{
	return truncate(readable, 0);
}

static long try_remove_model(void)
{
	return unlink(readable);
}

static long try_create(void)
{
	snprintf(buffer, sizeof buffer, "%s.made", other);
	return open(buffer, O_WRONLY | O_CREAT, 0600);
}

static long try_temporary(void)
{
	return open("/tmp", O_RDWR | O_TMPFILE, 0600);
}

static long try_rename(void)
{
	snprintf(buffer, sizeof buffer, "%s.moved", other);
	return rename(other, buffer);
}

static long try_list(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);
	return fd < 0 ? fd : syscall(SYS_getdents64, fd, buffer, sizeof buffer);
}

static long try_exec(void)
{
	char *const argv[] = { (char *)"true", NULL };
	return execv("/bin/true", argv);
}

static long try_exec_of_memory(void)
{
	char *const argv[] = { (char *)"true", NULL };
	int fd = (int)syscall(SYS_memfd_create, "x", 0);
	if (fd < 0)
		return fd;
	return syscall(SYS_execveat, fd, "", argv, argv, AT_EMPTY_PATH);
}

static long try_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_vfork(void)
{
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_new_user_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long try_ptrace_parent(void)
{
	return ptrace(PTRACE_ATTACH, parent, 0, 0);
}

static long try_read_memory_of_parent(void)
{
	struct iovec to = { buffer, 1 }, from = { buffer, 1 };
	return process_vm_readv(parent, &to, 1, &from, 1, 0);
}

static long try_kill_parent(void)
{
	return kill(parent, SIGUSR1);
}

static long try_signal_parent_thread(void)
{
	return syscall(SYS_tgkill, parent, parent, SIGUSR1);
}

/* A descriptor can send signals too, when it becomes readable. */
static long try_owner_of_descriptor(void)
{
	return fcntl(STDOUT_FILENO, F_SETOWN, parent);
}

static long try_slow_parent(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	return sched_setaffinity(parent, sizeof set, &set);
}

static long try_limit_parent(void)
{
	struct rlimit r = { 10, 10 };
	return prlimit(parent, RLIMIT_NOFILE, &r, NULL);
}

static long try_mount(void)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long try_keyctl(void)
{
	return syscall(SYS_keyctl, 0 /* the session's key ring */, -3, 1);
}

static long try_bpf(void)
{
	return syscall(SYS_bpf, 0, buffer, 4);
}

static long try_perf(void)
{
	struct perf_event_attr a = { .size = sizeof a,
				     .type = PERF_TYPE_SOFTWARE };
	return syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

static long try_io_uring(void)
{
	char params[120] = { 0 };
	return syscall(SYS_io_uring_setup, 4, params);
}

static long try_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC);
}

static long try_type_into_terminal(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static long try_be_dumped(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_code_of_its_own(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -1 : 0;
}

static long try_setuid(void)
{
	return setuid(12345);
}

static long try_chroot(void)
{
	return chroot("/");
}

static void *nothing(void *arg)
{
	return arg;
}

/* What a worker does need. */
static long try_thread(void)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, nothing, NULL);
	if (rc == 0)
		rc = pthread_join(t, NULL);
	errno = rc;
	return rc ? -1 : 0;
}

static long try_memory(void)
{
	void *p = malloc(64 << 20);
	memset(p, 1, 64 << 20);
	free(p);
	return 0;
}

#define TRY(name)                        \
	{                                \
#name, false, try_##name \
	}
#define HARMLESS(name)                  \
	{                               \
#name, true, try_##name \
	}
static const struct {
	const char *name;
	bool is_harmless;
	long (*fn)(void);
} tries[] = {
	HARMLESS(thread),
	HARMLESS(memory),
	HARMLESS(read_model),
	HARMLESS(connect_unix),
	HARMLESS(pair_to_unix),
	HARMLESS(connect_tcp),
	HARMLESS(udp),
	HARMLESS(netlink),
	TRY(vsock),
	HARMLESS(read_other),
	HARMLESS(read_passwd),
	HARMLESS(read_environment_of_parent),
	HARMLESS(write_model),
	TRY(truncate_model),
	TRY(remove_model),
	HARMLESS(create),
	TRY(temporary),
	TRY(rename),
	HARMLESS(list),
	TRY(exec),
	TRY(exec_of_memory),
	HARMLESS(fork),
	HARMLESS(vfork),
	TRY(new_user_namespace),
	TRY(ptrace_parent),
	TRY(read_memory_of_parent),
	TRY(kill_parent),
	TRY(signal_parent_thread),
	HARMLESS(owner_of_descriptor),
	HARMLESS(slow_parent),
	TRY(limit_parent),
	TRY(mount),
	TRY(keyctl),
	TRY(bpf),
	TRY(perf),
	TRY(io_uring),
	TRY(userfaultfd),
	TRY(type_into_terminal),
	HARMLESS(be_dumped),
	HARMLESS(code_of_its_own),
	TRY(setuid),
	TRY(chroot),
};

static void try_all(const char *stage)
{
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		if (strcmp(stage, "free") == 0 && !tries[i].is_harmless)
			continue;
		errno = 0;
		long got = tries[i].fn();
		printf("{\"stage\": \"%s\", \"try\": \"%s\", \"result\": "
		       "\"%s\"}\n",
		       stage, tries[i].name,
		       got < 0 ? strerrorname_np(errno) : "ok");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct err e;
	struct sandbox s = { 0 };
	char text[SANDBOX_TEXT_BYTES];
	if (argc < 5)
		return 2;
	readable = argv[1];
	other = argv[2];
	unix_path = argv[3];
	tcp_port = (int)strtol(argv[4], NULL, 10);
	parent = getppid();
	if (argc == 6) {
		try_all(argv[5]);
		return 0;
	}
	struct sandbox_options o = { .files = &readable, .n_files = 1 };
	if (sandbox_enter(&o, &s, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	sandbox_text(&s, text);
	printf("{\"landlock\": %d, \"sanitized\": %s, \"text\": \"%s\"}\n",
	       s.landlock, s.is_sanitized ? "true" : "false", text);
	try_all("loading");
	if (sandbox_seal(&s, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	try_all("serving");
	return 0;
}
