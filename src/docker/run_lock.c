#include "docker/run_lock.h"
#include "docker/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static void forget(struct run_lock *l)
{
	free(steal(&l->path));
	free(steal(&l->settings));
}

static int held(int fd, struct err *e)
{
	char pid[16] = "";
	if (errno != EWOULDBLOCK)
		return err_sys(e, "lock run.pid");
	ssize_t n = read(fd, pid, sizeof pid - 1);
	pid[strcspn(pid, "\n")] = '\0';
	return err_set(e, ERR_CONFLICT, "modeld-docker run runs already%s%s%s",
		       n > 0 ? " (process " : "", n > 0 ? pid : "",
		       n > 0 ? ")" : "");
}

int run_lock_get(struct run_lock *l, const struct setup *s, struct err *e)
{
	int n = (int)(strrchr(s->listen, '/')
			      ? strrchr(s->listen, '/') - s->listen
			      : 0);
	if (service_make_folder(s->listen, e))
		return -1;
	*l = (struct run_lock){
		.path = xasprintf("%.*s/run.pid", n, s->listen),
		.settings = xasprintf("%.*s/run.json", n, s->listen),
	};
	auto_close int fd =
		open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	int got = fd < 0 ? err_sys(e, "open %s", l->path) : 0;
	if (got == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		got = held(fd, e);
	if (got == 0 &&
	    (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0))
		got = err_sys(e, "write %s", l->path);
	if (got < 0)
		forget(l);
	else
		l->fd = steal_fd(&fd);
	return got;
}

void run_lock_drop(struct run_lock *l)
{
	unlink(l->settings);
	unlink(l->path);
	close(l->fd);
	forget(l);
}
