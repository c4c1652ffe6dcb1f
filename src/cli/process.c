#include "cli/process.h"
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROC_BYTES (2u << 20)

int process_behind(const char *socket_path, struct process *out, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct ucred who;
	socklen_t n = sizeof who;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	if (strlen(socket_path) >= sizeof to.sun_path)
		return err_set(e, ERR_INVALID, "the path %s is too long",
			       socket_path);
	memcpy(to.sun_path, socket_path, strlen(socket_path));
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
		return errno == ENOENT || errno == ECONNREFUSED
			       ? PROCESS_NONE
			       : err_sys(e, "connect to %s", socket_path);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return err_sys(e, "ask who listens at %s", socket_path);
	*out = (struct process){ .pid = who.pid, .uid = who.uid };
	return 0;
}

/* Words that each end in a NUL. */
static int read_words(int pid, const char *file, struct buf *out)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return buf_read(out, fd) ? -1 : 0;
}

/* "START", if it may stand alone, or "START=...", which must say something. */
static bool has_word(int pid, const char *file, const char *start,
		     bool may_stand_alone)
{
	auto_buf struct buf words;
	size_t n = strlen(start);
	buf_init(&words, PROC_BYTES);
	if (read_words(pid, file, &words))
		return false;
	struct str rest = buf_str(&words), word;
	while (str_split(&rest, '\0', &word)) {
		if (!str_starts(word, start))
			continue;
		if (word.n == n ? may_stand_alone
				: word.p[n] == '=' && word.n > n + 1)
			return true;
	}
	return false;
}

bool process_has_flag(int pid, const char *flag)
{
	auto_free char *start = xasprintf("--%s", flag);
	return has_word(pid, "cmdline", start, true);
}

bool process_has_variable(int pid, const char *name)
{
	return has_word(pid, "environ", name, false);
}
