#include "docker/run_lock.h"
#include "docker/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void forget(struct run_lock *l)
{
	free(steal(&l->path));
	free(steal(&l->settings));
	free(steal(&l->lock));
}

static int held(const struct run_lock *l, struct err *e)
{
	char pid[16] = "";
	if (errno != EWOULDBLOCK)
		return err_sys(e, "lock %s", l->lock);
	auto_close int fd = open(l->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, pid, sizeof pid - 1);
	pid[strcspn(pid, "\n")] = '\0';
	return err_set(e, ERR_CONFLICT, "modeld-docker run runs already%s%s%s",
		       n > 0 ? " (process " : "", n > 0 ? pid : "",
		       n > 0 ? ")" : "");
}

static int lock(const struct run_lock *l, int *out, struct err *e)
{
	struct stat st;
	auto_close int fd =
		open(l->lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "open %s", l->lock);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return held(l, e);
	/* Its last holder may have removed it since it was opened. */
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return err_set(e, ERR_CONFLICT,
			       "another modeld-docker run ends just now; try "
			       "again");
	*out = steal_fd(&fd);
	return 0;
}

static int write_pid(const struct run_lock *l, struct err *e)
{
	auto_close int fd = open(
		l->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		0644);
	if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return err_sys(e, "write %s", l->path);
	return 0;
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
		.lock = xasprintf("%.*s/run.lock", n, s->listen),
	};
	auto_close int fd = -1;
	int got = lock(l, &fd, e);
	if (got == 0)
		got = write_pid(l, e);
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
	unlink(l->lock);
	close(l->fd);
	forget(l);
}
