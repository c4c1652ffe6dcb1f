#include "docker/front_socket.h"
#include "docker/service.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* As Go's and systemd's: clients wait here while the front is started anew. */
#define BACKLOG 4096
#define FIRST_FD 3

int front_socket_inherit(int *fd, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	uint64_t number, count;
	int listens = 0;
	socklen_t size = sizeof listens;
	if (!pid || !n || !str_to_u64(str_of(pid), &number) ||
	    number != (uint64_t)getpid() || !str_to_u64(str_of(n), &count) ||
	    count == 0)
		return FRONT_SOCKET_NONE;
	if (count > 1)
		return err_set(e, ERR_USAGE,
			       "one socket is expected, not %s of them", n);
	if (getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) ||
	    !listens)
		return err_set(e, ERR_USAGE,
			       "descriptor %d is not a listening socket",
			       FIRST_FD);
	fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	*fd = FIRST_FD;
	return 0;
}

static int new_socket(struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? err_sys(e, "socket") : fd;
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
			       "%s is there and is no socket; remove it", path);
	auto_close int fd = new_socket(e);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 ||
	    errno != ECONNREFUSED)
		return err_set(e, ERR_CONFLICT,
			       "another front listens on %s; stop it first",
			       path);
	return unlink(path) < 0 ? err_sys(e, "remove %s", path) : 0;
}

int front_socket_open(const struct setup *s, struct front_socket *out,
		      struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat engine, st;
	size_t n = strlen(s->listen);
	if (n >= sizeof a.sun_path)
		return err_set(e, ERR_USAGE, "--listen: at most %zu bytes",
			       sizeof a.sun_path - 1);
	memcpy(a.sun_path, s->listen, n);
	if (service_make_folder(s->listen, e) || remove_stale(s->listen, &a, e))
		return -1;
	auto_close int made = new_socket(e);
	if (made < 0)
		return -1;
	if (bind(made, (struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, "create the socket %s", s->listen);
	/* Nobody can connect before listen(), so there is no open moment. */
	if (chmod(s->listen, 0660) < 0 ||
	    (stat(setup_engine_socket(s), &engine) == 0 &&
	     lchown(s->listen, engine.st_uid, engine.st_gid) < 0) ||
	    lstat(s->listen, &st) < 0 || listen(made, BACKLOG) < 0)
		return err_sys(e, "listen on %s", s->listen);
	*out = (struct front_socket){ steal_fd(&made), st.st_dev, st.st_ino };
	return 0;
}

void front_socket_remove(const struct setup *s, const struct front_socket *f)
{
	struct stat st;
	if (lstat(s->listen, &st) == 0 && st.st_dev == f->dev &&
	    st.st_ino == f->ino)
		unlink(s->listen);
}
