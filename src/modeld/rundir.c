/* A living modeld holds a lock on its folder, so one that can be locked is left
 * over. The kernel drops the lock however a process ends. */
#include "modeld/rundir.h"
#include "base/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "workers-"
/* A path in a sockaddr_un has 108 bytes; "/w4294967295.sock" comes to it. */
#define PATH_BYTES 90
/* Between making and locking another modeld may sweep the new folder away. */
#define TRIES 10

void rundir_make_parents(const char *path)
{
	auto_free char *copy = xstrdup(path);
	for (char *p = copy; (p = strchr(p + 1, '/'));) {
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return;
		*p = '/';
	}
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}
#define auto_dir __attribute__((cleanup(close_dir))) DIR

static void remove_sockets(int at)
{
	int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir *all = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	while (all && (entry = readdir(all)))
		if (entry->d_name[0] == 'w')
			unlinkat(at, entry->d_name, 0);
}

static void sweep(const char *base)
{
	auto_dir *all = opendir(base);
	struct dirent *entry;
	while (all && (entry = readdir(all))) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		auto_close int fd =
			openat(dirfd(all), entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		remove_sockets(fd);
		unlinkat(dirfd(all), entry->d_name, AT_REMOVEDIR);
	}
}

/* One try; 0 also when the folder was swept away, with no path then. */
static int make(const char *base, struct rundir *out)
{
	struct stat st;
	auto_free char *path = xasprintf("%s/" PREFIX "XXXXXX", base);
	if (strlen(path) > PATH_BYTES) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (!mkdtemp(path))
		return -1;
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0 ||
	    st.st_nlink == 0)
		return 0;
	out->path = steal(&path);
	out->lock = steal_fd(&fd);
	return 0;
}

int rundir_make(struct rundir *out, struct err *e)
{
	auto_free char *base = paths_runtime_dir();
	auto_free char *below = xasprintf("%s/", base);
	rundir_make_parents(below);
	sweep(base);
	for (int i = 0; i < TRIES && !out->path; i++)
		if (make(base, out) < 0 && make("/tmp", out) < 0)
			return err_sys(e, "make a folder for sockets in %s",
				       base);
	if (out->path)
		return 0;
	return err_set(e, ERR_SYSTEM, "folders made in %s do not stay", base);
}

void rundir_fini(struct rundir *r)
{
	if (!r->path)
		return;
	rmdir(r->path);
	free(steal(&r->path));
	close(steal_fd(&r->lock));
}
