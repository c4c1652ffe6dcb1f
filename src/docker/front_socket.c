#include "docker/front_socket.h"
#include "docker/service.h"
#include "io/unixpath.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

int front_socket_open(const struct setup *s, struct front_socket *out,
		      struct err *e)
{
	struct stat engine, st;
	auto_close int made = -1;
	if (service_make_folder(s->listen, e) ||
	    unixpath_bind(s->listen, 0660, &made, e))
		return -1;
	if ((stat(setup_engine_socket(s), &engine) == 0 &&
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
