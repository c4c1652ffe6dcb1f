#include "llama/sandbox.h"

#include "base/limits.h"
#include "base/log.h"
#include "llama/ceiling.h"
#include "llama/landlock.h"
#include "llama/syscalls.h"

#include <dirent.h>
#include <jansson.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Descriptors beside those of clients: files, the loop's own. */
#define OTHER_DESCRIPTORS 128

/* What drivers read and use; folders with what lies in them. */
static const struct landlock_rule for_gpu[] = {
	{ "/dev/nvidiactl", LANDLOCK_DEVICE },
	{ "/dev/nvidia-uvm", LANDLOCK_DEVICE },
	{ "/dev/nvidia-uvm-tools", LANDLOCK_DEVICE },
	{ "/dev/nvidia-modeset", LANDLOCK_DEVICE },
	{ "/dev/nvidia-caps", LANDLOCK_DEVICE },
	{ "/dev/nvidia0", LANDLOCK_DEVICE },
	{ "/dev/nvidia1", LANDLOCK_DEVICE },
	{ "/dev/nvidia2", LANDLOCK_DEVICE },
	{ "/dev/nvidia3", LANDLOCK_DEVICE },
	{ "/dev/nvidia4", LANDLOCK_DEVICE },
	{ "/dev/nvidia5", LANDLOCK_DEVICE },
	{ "/dev/nvidia6", LANDLOCK_DEVICE },
	{ "/dev/nvidia7", LANDLOCK_DEVICE },
	{ "/dev/dri", LANDLOCK_DEVICE },
	{ "/dev/kfd", LANDLOCK_DEVICE },
	{ "/dev/shm", LANDLOCK_DEVICE },
	{ "/dev/urandom", LANDLOCK_READ },
	{ "/proc", LANDLOCK_READ },
	{ "/sys", LANDLOCK_READ },
	{ "/usr", LANDLOCK_READ },
	{ "/lib", LANDLOCK_READ },
	{ "/lib64", LANDLOCK_READ },
	{ "/opt", LANDLOCK_READ },
	{ "/etc/ld.so.cache", LANDLOCK_READ },
	{ "/etc/vulkan", LANDLOCK_READ },
	{ "/etc/OpenCL", LANDLOCK_READ },
};

static const struct landlock_rule for_sanitizer[] = {
	{ "/proc", LANDLOCK_READ },
	{ "/usr", LANDLOCK_READ },
	{ "/lib", LANDLOCK_READ },
};

/* What libraries would look up in a file the first time that they are asked
 * they look up now. */
static void ask_early(void)
{
	/* Templates write the date; only a named zone is not read again. */
	setenv("TZ", ":/etc/localtime", 0);
	tzset();
	json_object_seed(0);
	/* When ggml aborts it would start a debugger, after reading a file
	 * that it takes for granted. */
	setenv("GGML_NO_BACKTRACE", "1", 0);
}

static bool is_file(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void set_limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit now;
	if (getrlimit(what, &now) < 0)
		return;
	struct rlimit next = { MIN(now.rlim_cur, most),
			       MIN(now.rlim_max, most) };
	setrlimit(what, &next);
}

static void limit(const struct sandbox_options *o, const struct sandbox *s)
{
	if (o->memory_bytes && !s->is_sanitized)
		ceiling_set(o->memory_bytes);
	set_limit(RLIMIT_CORE, 0); /* prompts do not go to the disk */
	set_limit(RLIMIT_NOFILE, LIMIT_CONNECTIONS + OTHER_DESCRIPTORS);
	set_limit(RLIMIT_MSGQUEUE, 0);
	signal(SIGXFSZ, SIG_IGN);
	/* One who starts it by hand may keep its log in a file. */
	if (!is_file(STDOUT_FILENO) && !is_file(STDERR_FILENO))
		set_limit(RLIMIT_FSIZE, 0);
}

/* Of root's powers only the one to read what another user owns, so that a
 * model can be tried by hand. */
static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { 0 };
	if (syscall(SYS_capget, &head, caps) < 0)
		return err_sys(e, "read the capabilities");
	uint32_t kept = caps[0].permitted & (1u << CAP_DAC_READ_SEARCH);
	memset(caps, 0, sizeof caps);
	caps[0].permitted = caps[0].effective = kept;
	if (syscall(SYS_capset, &head, caps) < 0)
		return err_sys(e, "drop the capabilities");
	return 0;
}

static size_t count_threads(void)
{
	size_t n = 0;
	DIR *all = opendir("/proc/self/task");
	for (struct dirent *d; all && (d = readdir(all));)
		n += d->d_name[0] != '.';
	if (all)
		closedir(all);
	return n;
}

static size_t add_rules(struct landlock_rule *to, size_t n,
			const struct landlock_rule *more, size_t n_more)
{
	memcpy(to + n, more, n_more * sizeof *more);
	return n + n_more;
}

static int enter_landlock(const struct sandbox_options *o,
			  const struct sandbox *s, struct err *e)
{
	auto_free struct landlock_rule *rules = xcalloc(
		o->n_files + ARRAY_LEN(for_gpu) + ARRAY_LEN(for_sanitizer),
		sizeof *rules);
	size_t n = 0;
	for (size_t i = 0; i < o->n_files; i++)
		if (o->files[i])
			rules[n++] = (struct landlock_rule){ o->files[i],
							     LANDLOCK_READ };
	if (s->has_gpu)
		n = add_rules(rules, n, for_gpu, ARRAY_LEN(for_gpu));
	if (s->is_sanitized)
		n = add_rules(rules, n, for_sanitizer,
			      ARRAY_LEN(for_sanitizer));
	size_t threads = count_threads();
	if (threads > 1)
		log_warn("Landlock does not bind threads that a library has "
			 "started already threads=%zu",
			 threads - 1);
	return landlock_enter(s->landlock, rules, n, e);
}

int sandbox_enter(const struct sandbox_options *o, struct sandbox *out,
		  struct err *e)
{
	struct sandbox s = { .landlock = landlock_abi(),
			     .has_gpu = o->has_gpu,
			     .is_sanitized = SANDBOX_SANITIZED };
	struct syscalls_options calls = { .has_gpu = s.has_gpu,
					  .is_sanitized = s.is_sanitized };
	ask_early();
	limit(o, &s);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "give up new privileges");
	/* Others of this account shall not look into its memory. */
	if (!s.is_sanitized && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "keep others out of this process");
	if ((s.landlock && enter_landlock(o, &s, e)) || drop_capabilities(e) ||
	    syscalls_enter(&calls, e))
		return -1;
	s.has_seccomp = true;
	*out = s;
	return 0;
}

int sandbox_seal(struct sandbox *s, struct err *e)
{
	if (!s->has_seccomp || s->has_gpu || s->is_sanitized)
		return 0;
	if (syscalls_seal(e))
		return -1;
	s->is_sealed = true;
	return 0;
}

void sandbox_text(const struct sandbox *s, char out[SANDBOX_TEXT_BYTES])
{
	char landlock[32] = "";
	if (s->landlock)
		snprintf(landlock, sizeof landlock, "Landlock %d, ",
			 s->landlock);
	snprintf(out, SANDBOX_TEXT_BYTES, "%s%s%s%s%s", landlock,
		 s->has_seccomp ? "seccomp" : "off",
		 s->has_seccomp && !s->landlock
			 ? " (this kernel has no Landlock)"
			 : "",
		 s->has_gpu ? ", wider for a graphics card" : "",
		 s->is_sanitized ? ", wider for a sanitizer" : "");
}
