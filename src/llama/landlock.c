#include "llama/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface, written down here since the headers of a system may
 * be older than its kernel. */
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_ALL 3ull	/* to bind and to connect TCP */
#define SCOPED_ALL 3ull /* abstract Unix sockets, signals */

struct ruleset {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) path_beneath {
	uint64_t allowed;
	int32_t parent;
};

/* Rights over files by the version that brought them; a later one may add to
 * them, and is used as the latest known here. */
static uint64_t fs_rights(int abi)
{
	static const unsigned char bits[] = { 0, 13, 14, 15, 15, 16 };
	size_t at = MIN((size_t)abi, ARRAY_LEN(bits) - 1);
	return (1ull << bits[at]) - 1;
}

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   CREATE_RULESET_VERSION);
	return abi > 0 ? (int)abi : 0;
}

static int add(int ruleset, int abi, const struct landlock_rule *rule,
	       struct err *e)
{
	struct stat st;
	auto_close int fd = open(rule->path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	struct path_beneath p = { .allowed = FS_READ_FILE, .parent = fd };
	if (rule->access == LANDLOCK_DEVICE)
		p.allowed |= FS_WRITE_FILE | FS_IOCTL_DEV;
	if (S_ISDIR(st.st_mode))
		p.allowed |= FS_READ_DIR;
	p.allowed &= fs_rights(abi);
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &p, 0) <
	    0)
		return err_sys(e, "let Landlock allow %s", rule->path);
	return 0;
}

int landlock_enter(int abi, const struct landlock_rule *rules, size_t n,
		   struct err *e)
{
	struct ruleset r = { .fs = fs_rights(abi),
			     .net = abi >= 4 ? NET_ALL : 0,
			     .scoped = abi >= 6 ? SCOPED_ALL : 0 };
	/* An older kernel takes the longer struct while its tail is zero. */
	auto_close int ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &r, sizeof r, 0);
	if (ruleset < 0)
		return err_sys(e, "make Landlock rules");
	for (size_t i = 0; i < n; i++)
		if (add(ruleset, abi, &rules[i], e))
			return -1;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, "enter Landlock");
	return 0;
}
