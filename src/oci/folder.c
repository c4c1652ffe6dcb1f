#include "oci/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the folder ---- */

static int sync_folder(int at, const char *path)
{
	auto_close int fd = openat(at, path[0] ? path : ".",
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fsync(fd);
}

/* The name of a new folder is in the one above, which must keep it. */
static int make_one(int at, const char *path)
{
	auto_free char *above = xasprintf("%s/..", path);
	if (mkdirat(at, path, 0755) == 0)
		return sync_folder(at, above);
	return errno == EEXIST ? 0 : -1;
}

/* Like `mkdir -p`, relative to `at`. */
static int make_path(int at, const char *dir)
{
	auto_free char *path = xstrdup(dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (make_one(at, path) < 0)
			return -1;
		*p = '/';
	}
	return make_one(at, path);
}

int folder_open(const char *path, struct folder *out, struct err *e)
{
	*out = (struct folder){ .fd = -1 };
	if (!path[0])
		return err_set(e, ERR_USAGE, "the folder has no name");
	if (access(path, F_OK) < 0 && make_path(AT_FDCWD, path) < 0)
		return err_sys(e, "create %s", path);
	out->path = realpath(path, NULL);
	if (out->path)
		out->fd = open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->fd < 0)
		return err_sys(e, "open %s", path);
	out->is_read_only = faccessat(out->fd, ".", W_OK, AT_EACCESS) < 0;
	return 0;
}

void folder_close(struct folder *f)
{
	base_closep(&f->fd);
	free(steal(&f->path));
}

/* Somebody removed the whole folder, which empties a store as well as anything:
 * a new one takes its place, under the descriptor that all threads use. */
static int make_again(struct folder *f)
{
	struct stat st;
	if (fstat(f->fd, &st) < 0 || st.st_nlink > 0)
		return 0;
	if (make_path(AT_FDCWD, f->path) < 0)
		return -1;
	auto_close int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || dup3(fd, f->fd, O_CLOEXEC) < 0 ? -1 : 0;
}

int folder_make(struct folder *f, const char *sub, struct err *e)
{
	if (f->is_read_only)
		return err_set(e, ERR_FORBIDDEN,
			       "the folder %s cannot be written", f->path);
	if (make_again(f) < 0)
		return err_sys(e, "create %s", f->path);
	if (sub[0] && make_path(f->fd, sub) < 0)
		return err_sys(e, "create %s/%s", f->path, sub);
	return 0;
}

/* ---- files ---- */

int folder_read(struct folder *f, const char *path, struct buf *out,
		struct err *e)
{
	auto_close int fd = openat(f->fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return FOLDER_ABSENT;
	if (fd < 0)
		return err_sys(e, "open %s/%s", f->path, path);
	int got = buf_read(out, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_CORRUPT, "%s/%s is larger than %zu bytes",
			       f->path, path, out->max);
	return got ? err_sys(e, "read %s/%s", f->path, path) : 0;
}

static void join(char out[FOLDER_PATH_BYTES], const char *sub, const char *name)
{
	snprintf(out, FOLDER_PATH_BYTES, "%s%s%s", sub, sub[0] ? "/" : "",
		 name);
}

int folder_create(struct folder *f, const char *sub, const char *name,
		  const char *ending, char temp[FOLDER_PATH_BYTES], int *fd,
		  struct err *e)
{
	char path[FOLDER_PATH_BYTES];
	uint64_t r;
	if (folder_make(f, sub, e))
		return -1;
	if (getrandom(&r, sizeof r, 0) != sizeof r)
		abort(); /* never for so few bytes */
	join(path, sub, name);
	snprintf(temp, FOLDER_PATH_BYTES, "%s" FOLDER_TEMP "%016llx%s", path,
		 (unsigned long long)r, ending);
	*fd = openat(f->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		     0644);
	if (*fd < 0)
		return err_sys(e, "create %s/%s", f->path, temp);
	/* Tells a sweep that somebody is at it, however long that takes and
	 * whatever the clock does. */
	flock(*fd, LOCK_EX | LOCK_NB);
	return 0;
}

int folder_publish(struct folder *f, int fd, const char *temp, const char *sub,
		   const char *name, struct err *e)
{
	char path[FOLDER_PATH_BYTES];
	join(path, sub, name);
	/* Others than the umask's people read the store: containers. */
	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return err_sys(e, "sync %s/%s", f->path, temp);
	if (renameat(f->fd, temp, f->fd, path) < 0)
		return err_sys(e, "rename to %s/%s", f->path, path);
	return folder_sync(f, sub, e);
}

int folder_sync(struct folder *f, const char *sub, struct err *e)
{
	if (sync_folder(f->fd, sub) < 0)
		return err_sys(e, "sync %s/%s", f->path, sub);
	return 0;
}

static int write_all(int fd, struct str text)
{
	while (text.n) {
		ssize_t n = write(fd, text.p, text.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text = str_tail(text, (size_t)n);
	}
	return 0;
}

int folder_write(struct folder *f, const char *sub, const char *name,
		 struct str text, struct err *e)
{
	char temp[FOLDER_PATH_BYTES];
	auto_close int fd = -1;
	int result;
	if (folder_create(f, sub, name, "", temp, &fd, e))
		return -1;
	if (write_all(fd, text) < 0)
		result = err_sys(e, "write %s/%s", f->path, temp);
	else
		result = folder_publish(f, fd, temp, sub, name, e);
	if (result)
		folder_remove(f, temp);
	return result;
}

void folder_remove(struct folder *f, const char *path)
{
	unlinkat(f->fd, path, 0);
}

/* ---- the lock ---- */

int folder_lock(struct folder *f, const char *name, int *out, struct err *e)
{
	struct stat held, named;
	for (;;) {
		auto_close int fd = openat(
			f->fd, name, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return err_sys(e, "open %s/%s", f->path, name);
		/* Belongs to the open file: it keeps out threads too. */
		while (flock(fd, LOCK_EX) < 0) {
			if (errno != EINTR)
				return err_sys(e, "lock %s/%s", f->path, name);
		}
		/* Who held it may have removed the file meanwhile. */
		if (fstat(fd, &held) == 0 &&
		    fstatat(f->fd, name, &named, 0) == 0 &&
		    held.st_ino == named.st_ino) {
			*out = steal_fd(&fd);
			return 0;
		}
	}
}

/* ---- walks ---- */

bool folder_is_unfinished(const char *name)
{
	return str_ends(str_of(name), FOLDER_INCOMPLETE) ||
	       strstr(name, FOLDER_TEMP);
}

void folder_sweep(struct folder *f, const char *sub, int older_than_s)
{
	struct stat st;
	const struct dirent *entry;
	time_t now = time(NULL);
	int fd = openat(f->fd, sub[0] ? sub : ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	while (dir && (entry = readdir(dir))) {
		if (folder_is_unfinished(entry->d_name) &&
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && now - st.st_mtime > older_than_s)
			unlinkat(fd, entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static FTS *walk(char *path)
{
	char *const roots[] = { path, NULL };
	return fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR,
			NULL);
}

void folder_remove_tree(struct folder *f, const char *sub)
{
	auto_free char *path = xasprintf("%s/%s", f->path, sub);
	FTS *fts = walk(path);
	const FTSENT *entry;
	while (fts && (entry = fts_read(fts))) {
		if (entry->fts_info == FTS_DP)
			rmdir(entry->fts_accpath);
		else if (entry->fts_info != FTS_D)
			unlink(entry->fts_accpath);
	}
	if (fts)
		fts_close(fts);
}

struct linked {
	ino_t ino;
	uint64_t blocks;
};

static int by_inode(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Files with several names count once. */
static uint64_t distinct_blocks(struct buf *files)
{
	struct linked *list = (struct linked *)(void *)files->p;
	size_t n = files->n / sizeof *list;
	uint64_t blocks = 0;
	if (n)
		qsort(list, n, sizeof *list, by_inode);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || list[i].ino != list[i - 1].ino)
			blocks += list[i].blocks;
	}
	return blocks;
}

int folder_usage(const char *path, uint64_t *out_bytes, struct err *e)
{
	auto_free char *root = xstrdup(path);
	auto_buf struct buf files; /* of struct linked */
	const FTSENT *entry;
	uint64_t blocks = 0;
	buf_init(&files, SIZE_MAX / 2);
	FTS *fts = walk(root);
	if (!fts)
		return err_sys(e, "walk %s", path);
	while ((entry = fts_read(fts))) {
		const struct stat *st = entry->fts_statp;
		struct linked file = { st->st_ino, (uint64_t)st->st_blocks };
		/* NS: gone since its folder was read. DP: seen before. */
		if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DP)
			continue;
		bool has_names = !S_ISDIR(st->st_mode) && st->st_nlink > 1;
		if (!has_names || buf_put(&files, &file, sizeof file))
			blocks += file.blocks;
	}
	fts_close(fts);
	*out_bytes = (blocks + distinct_blocks(&files)) * 512;
	return 0;
}
