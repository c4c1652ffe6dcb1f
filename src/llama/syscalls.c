#include "llama/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* clang-format off: lists of words, not columns */
/* What threads, memory, time, and open files and sockets need. */
static const char *const always[] = {
	/* files and sockets that are open */
	"read", "readv", "pread64", "preadv", "preadv2", "write", "writev",
	"pwrite64", "pwritev", "lseek", "close", "fstat", "fadvise64",
	"readahead", "dup", "accept", "accept4", "shutdown", "recvfrom",
	"getsockname", "getpeername", "getsockopt", "setsockopt", "poll",
	"ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl",
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2",
	/* memory */
	"brk", "munmap", "mremap", "madvise", "mincore", "mlock", "mlock2",
	"munlock", "membarrier", "get_mempolicy",
	/* threads and their signals */
	"futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq",
	"set_tid_address", "sched_yield", "sched_getaffinity", "sched_getparam",
	"sched_getscheduler", "sched_get_priority_max",
	"sched_get_priority_min", "gettid", "exit", "exit_group",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
	"rt_sigpending", "rt_sigtimedwait", "restart_syscall", "pause",
	/* time */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
	"gettimeofday", "time", "timer_create", "timer_settime",
	"timer_gettime", "timer_delete", "timer_getoverrun",
	/* oneself and the machine */
	"getpid", "getppid", "getuid", "geteuid", "getgid", "getegid",
	"getresuid", "getresgid", "getrlimit", "getrusage", "times", "uname",
	"sysinfo", "getcpu", "getrandom", "seccomp"
};

/* What programs meet now and then: told that they may not, rather than that
 * there is no such thing. */
static const char *const forbidden[] = { "execve",
					 "execveat",
					 "fork",
					 "vfork",
					 "socket",
					 "socketpair",
					 "connect",
					 "bind",
					 "listen",
					 "sendmsg",
					 "sendmmsg",
					 "recvmsg",
					 "recvmmsg",
					 "ptrace",
					 "process_vm_readv",
					 "process_vm_writev",
					 "process_madvise",
					 "pidfd_open",
					 "pidfd_getfd",
					 "pidfd_send_signal",
					 "kill",
					 "tkill",
					 "rt_sigqueueinfo",
					 "rt_tgsigqueueinfo",
					 "unlink",
					 "unlinkat",
					 "rename",
					 "renameat",
					 "renameat2",
					 "mkdir",
					 "mkdirat",
					 "rmdir",
					 "link",
					 "linkat",
					 "symlink",
					 "symlinkat",
					 "mknod",
					 "mknodat",
					 "creat",
					 "truncate",
					 "ftruncate",
					 "chmod",
					 "fchmod",
					 "fchmodat",
					 "chown",
					 "fchown",
					 "lchown",
					 "fchownat",
					 "mount",
					 "umount2",
					 "pivot_root",
					 "chroot",
					 "unshare",
					 "setns",
					 "keyctl",
					 "add_key",
					 "request_key",
					 "bpf",
					 "perf_event_open",
					 "userfaultfd",
					 "io_uring_setup",
					 "io_uring_enter",
					 "io_uring_register",
					 "setuid",
					 "setgid",
					 "setresuid",
					 "setresgid",
					 "setgroups",
					 "capset",
					 "setrlimit",
					 "setpriority",
					 "sched_setaffinity",
					 "sched_setscheduler",
					 "sched_setattr",
					 "init_module",
					 "finit_module",
					 "kexec_load",
					 "memfd_create",
					 "memfd_secret",
					 "name_to_handle_at",
					 "open_by_handle_at",
					 "stat",
					 "lstat",
					 "access",
					 "faccessat",
					 "readlink",
					 "readlinkat",
					 "getdents64",
					 "chdir",
					 "fchdir",
					 "shmget",
					 "msgget",
					 "semget",
					 "mq_open",
					 "inotify_init1",
					 "fanotify_init" };

/* Graphics drivers: their device files, shared memory, compiled kernels. Not
 * here either: programs, sockets, other processes. */
static const char *const for_gpu[] = { "open",
				       "openat",
				       "ioctl",
				       "mmap",
				       "mprotect",
				       "stat",
				       "lstat",
				       "newfstatat",
				       "statx",
				       "access",
				       "faccessat",
				       "faccessat2",
				       "readlink",
				       "readlinkat",
				       "getdents64",
				       "statfs",
				       "fstatfs",
				       "getcwd",
				       "memfd_create",
				       "ftruncate",
				       "fallocate",
				       "mbind",
				       "set_mempolicy",
				       "sched_setaffinity",
				       "sched_setscheduler",
				       "dup2",
				       "dup3",
				       "flock",
				       "inotify_init1",
				       "inotify_add_watch",
				       "timerfd_create",
				       "timerfd_settime",
				       "prctl",
				       "fcntl" };

/* LeakSanitizer stops the other threads from a process beside them. */
static const char *const for_sanitizer[] = {
	"clone",      "ptrace",	  "wait4",	"prctl",      "readlink",
	"readlinkat", "getdents", "getdents64", "newfstatat", "stat",
	"mmap",	      "mprotect", "arch_prctl", "fcntl",      "dup2"
};

/* clang-format on */

struct filter {
	scmp_filter_ctx ctx;
	const struct syscalls_options *o;
	int failed; /* the first error, as libseccomp gives it */
};

static void rule(struct filter *f, uint32_t action, const char *name,
		 unsigned n, const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);
	/* One that this architecture, or this libseccomp, has no number for
	 * falls to the default. */
	if (nr < 0)
		return;
	int rc = seccomp_rule_add_array(f->ctx, action, nr, n, args);
	if (rc && !f->failed)
		f->failed = rc;
}

static bool is_in(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* Does something else than the common rules decide on it? */
static bool is_freed(const struct filter *f, const char *name)
{
	return (f->o->has_gpu && is_in(for_gpu, ARRAY_LEN(for_gpu), name)) ||
	       (f->o->is_sanitized &&
		is_in(for_sanitizer, ARRAY_LEN(for_sanitizer), name));
}

static void allow_list(struct filter *f, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rule(f, SCMP_ACT_ALLOW, list[i], 0, NULL);
}

/* Allowed while argument `arg`, masked, is `value`. */
static void allow_if(struct filter *f, const char *name, unsigned arg,
		     uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp c = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value);
	if (!is_freed(f, name))
		rule(f, SCMP_ACT_ALLOW, name, 1, &c);
}

static void allow_values(struct filter *f, const char *name, unsigned arg,
			 const uint64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		allow_if(f, name, arg, UINT32_MAX, values[i]);
}

#define NEW_NAMESPACES                                                 \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |   \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_VFORK | \
	 CLONE_PTRACE)
#define WRITES (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* Calls of which only some uses are harmless. */
static void allow_some(struct filter *f)
{
	static const uint64_t fcntls[] = { F_GETFD, F_SETFD, F_GETFL, F_SETFL,
					   F_DUPFD_CLOEXEC };
	/* No TIOCSTI, which types into the terminal that started us. */
	static const uint64_t ioctls[] = { FIONBIO, FIONREAD, FIOCLEX, TCGETS };
	static const uint64_t prctls[] = { PR_SET_NAME, PR_GET_NAME,
					   PR_SET_VMA };
	allow_if(f, "openat", 2, WRITES, O_RDONLY);
	allow_if(f, "open", 1, WRITES, O_RDONLY);
	/* fstat() of newer C libraries. */
	allow_if(f, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
	allow_if(f, "statx", 2, AT_EMPTY_PATH, AT_EMPTY_PATH);
	allow_if(f, "mmap", 2, PROT_EXEC, 0);
	allow_if(f, "mprotect", 2, PROT_EXEC, 0);
	allow_if(f, "clone", 0, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD);
	allow_if(f, "tgkill", 0, UINT32_MAX, (uint64_t)getpid());
	/* Only to an address that its socket is connected with. */
	allow_if(f, "sendto", 4, UINT64_MAX, 0);
	allow_values(f, "fcntl", 1, fcntls, ARRAY_LEN(fcntls));
	allow_values(f, "ioctl", 1, ioctls, ARRAY_LEN(ioctls));
	allow_values(f, "prctl", 0, prctls, ARRAY_LEN(prctls));
	/* To ask for one's own limits. */
	struct scmp_arg_cmp own[] = {
		{ 0, SCMP_CMP_MASKED_EQ, UINT32_MAX, 0 },
		{ 2, SCMP_CMP_EQ, 0, 0 },
	};
	rule(f, SCMP_ACT_ALLOW, "prlimit64", ARRAY_LEN(own), own);
}

static int load(struct filter *f, struct err *e)
{
	/* All threads; and without the brake that older kernels put on the
	 * speculation of every filtered process, which is for those that run
	 * foreign code. Answers come by a tree, not down a list. */
	seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_NNP, 0);
	seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_SSB, 1);
	seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	int rc = f->failed ? f->failed : seccomp_load(f->ctx);
	seccomp_release(f->ctx);
	if (rc == 0)
		return 0;
	errno = rc < 0 ? -rc : rc;
	return err_sys(e, "filter system calls (seccomp)");
}

int syscalls_enter(const struct syscalls_options *o, struct err *e)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS)),
			    .o = o };
	if (!f.ctx)
		return err_set(e, ERR_SYSTEM,
			       "no memory for a system call "
			       "filter");
	allow_list(&f, always, ARRAY_LEN(always));
	if (o->has_gpu)
		allow_list(&f, for_gpu, ARRAY_LEN(for_gpu));
	if (o->is_sanitized)
		allow_list(&f, for_sanitizer, ARRAY_LEN(for_sanitizer));
	allow_some(&f);
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (!is_freed(&f, forbidden[i]))
			rule(&f, SCMP_ACT_ERRNO(EPERM), forbidden[i], 0, NULL);
	return load(&f, e);
}

int syscalls_seal(struct err *e)
{
	static const char *const ways[] = { "open", "openat", "openat2" };
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ALLOW) };
	if (!f.ctx)
		return err_set(e, ERR_SYSTEM,
			       "no memory for a system call "
			       "filter");
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		rule(&f, SCMP_ACT_ERRNO(EPERM), ways[i], 0, NULL);
	return load(&f, e);
}
