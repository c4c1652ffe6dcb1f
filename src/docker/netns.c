#include "docker/netns.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FOLDER "/run/netns"
#define OWN "/proc/thread-self/ns/net"
/* What we do under the lock takes a small part of this. */
#define LOCK_MS 5000
#define LOCK_LOOK_MS 20

/* A name of ip-netns(8): one component of a path. */
static int path_of(const char *name, char out[280], struct err *e)
{
	struct str s = str_of(name);
	if (!s.n || s.n > 200 || str_find(s, '/') >= 0 || name[0] == '.')
		return err_set(e, ERR_USAGE,
			       "'%s' cannot name a network namespace", name);
	snprintf(out, 280, FOLDER "/%s", name);
	return 0;
}

/* Mounts made below it must show in every mount namespace, else a later
 * umount leaves copies that keep the namespace alive. */
static int share_folder(struct err *e)
{
	if (mkdir(FOLDER, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "create %s", FOLDER);
	if (mount("", FOLDER, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno == EINVAL && /* no mount point yet */
	    mount(FOLDER, FOLDER, "none", MS_BIND | MS_REC, NULL) == 0 &&
	    mount("", FOLDER, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	return err_sys(e, "prepare %s for namespaces%s", FOLDER,
		       errno == EPERM ? " (run this as root)" : "");
}

/* The folder is ip(8)'s lock too, and every user may open it: who never lets go
 * must not stop us. */
static void await_lock(int fd)
{
	for (int ms = 0; ms < LOCK_MS; ms += LOCK_LOOK_MS) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return;
		poll(NULL, 0, LOCK_LOOK_MS);
	}
	log_warn("another process keeps " FOLDER " locked; it is not waited "
		 "for");
}

int netns_lock(int *lock, struct err *e)
{
	if (mkdir(FOLDER, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "create %s%s", FOLDER,
			       errno == EACCES ? " (run this as root)" : "");
	auto_close int fd = open(FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", FOLDER);
	await_lock(fd);
	*lock = steal_fd(&fd);
	return 0;
}

static bool is_namespace(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

int netns_open(const char *name, int *fd, struct err *e)
{
	char path[280];
	if (path_of(name, path, e))
		return -1;
	auto_close int ns = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (ns < 0 && errno == ENOENT)
		return NETNS_ABSENT;
	if (ns < 0)
		return err_sys(e, "open the namespace %s", path);
	/* A crash between the file and the mount leaves the plain file. */
	if (!is_namespace(ns))
		return NETNS_ABSENT;
	*fd = steal_fd(&ns);
	return 0;
}

static int mount_fresh(const char *path, struct err *e)
{
	auto_close int file =
		open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0);
	if (file < 0)
		return err_sys(e, "create %s", path);
	auto_close int own = open(OWN, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_sys(e, "open %s", OWN);
	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(e, "make a network namespace%s",
			       errno == EPERM ? " (run this as root)" : "");
	int r = mount(OWN, path, "none", MS_BIND, NULL) < 0
			? err_sys(e, "mount %s", path)
			: 0;
	netns_leave(steal_fd(&own));
	return r;
}

int netns_make(const char *name, struct err *e)
{
	char path[280];
	auto_close int fd = -1;
	int r = netns_open(name, &fd, e);
	if (r != NETNS_ABSENT)
		return r;
	if (path_of(name, path, e) || share_folder(e))
		return -1;
	if (mount_fresh(path, e)) {
		unlink(path);
		return -1;
	}
	return 0;
}

int netns_remove(const char *name, struct err *e)
{
	char path[280];
	if (path_of(name, path, e))
		return -1;
	/* Twice mounted by a race of old versions of us: all of them go. */
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return err_sys(e, "remove the namespace %s%s", path,
			       errno == EPERM ? " (run this as root)" : "");
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", path);
	return 0;
}

int netns_enter(int fd, int *back, struct err *e)
{
	auto_close int own = open(OWN, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_sys(e, "open %s", OWN);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_sys(e, "enter the network namespace%s",
			       errno == EPERM ? " (run this as root)" : "");
	*back = steal_fd(&own);
	return 0;
}

void netns_leave(int back)
{
	if (setns(back, CLONE_NEWNET) < 0) {
		log_error("the way back to the host's network namespace is "
			  "lost");
		abort();
	}
	close(back);
}
