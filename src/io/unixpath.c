#include "io/unixpath.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(const char *path, struct sockaddr_un *out, struct err *e)
{
	size_t n = strlen(path);
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (n == 0 || n >= sizeof out->sun_path)
		return err_set(e, ERR_INVALID,
			       "\"%s\": the path of a Unix socket has 1 to %zu "
			       "bytes",
			       path, sizeof out->sun_path - 1);
	memcpy(out->sun_path, path, n);
	return 0;
}

static int new_socket(struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? err_sys(e, "socket") : fd;
}

int unixpath_connect(const char *path, int *out, struct err *e)
{
	struct sockaddr_un a;
	if (address(path, &a, e))
		return -1;
	auto_close int fd = new_socket(e);
	if (fd < 0)
		return -1;
	/* To a Unix socket it is done at once, or it waits in no line. */
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		bool is_absent = errno == ENOENT || errno == ECONNREFUSED ||
				 errno == EAGAIN;
		err_sys(e, "connect to %s", path);
		if (is_absent)
			e->code = ERR_REFUSED;
		return -1;
	}
	*out = steal_fd(&fd);
	return 0;
}

/* Removes a socket file that nobody accepts behind. */
static int remove_stale(const char *path, const struct sockaddr_un *a,
			struct err *e)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_CONFLICT,
			       "%s is there and is no socket; choose another "
			       "path or remove it",
			       path);
	auto_close int fd = new_socket(e);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 ||
	    errno != ECONNREFUSED)
		return err_set(e, ERR_CONFLICT,
			       "another program listens on %s; stop it or "
			       "choose another path",
			       path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, "remove the stale socket %s", path);
	return 0;
}

int unixpath_bind(const char *path, int mode, int *out, struct err *e)
{
	struct sockaddr_un a;
	if (address(path, &a, e) || remove_stale(path, &a, e))
		return -1;
	auto_close int fd = new_socket(e);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, "create the socket %s", path);
	/* Nobody can connect before listen(), so there is no open moment. */
	if (chmod(path, (mode_t)mode) < 0)
		return err_sys(e, "set the mode of %s", path);
	*out = steal_fd(&fd);
	return 0;
}
