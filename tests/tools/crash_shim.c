/* crash_shim - a library for LD_PRELOAD that makes a program die, or its disk
 * fail, at one chosen change to a folder. Counted are the changes that it
 * sees: create, write, truncate, sync, rename, unlink, mkdir, rmdir.
 *
 *   CRASH_FOLDER  the folder; nothing outside it is counted
 *   CRASH_AT      the number of the change, from 1; 0: never
 *   CRASH_LOG     a file that gets a line for each change: "create blobs/x"
 *   CRASH_SHADOW  an empty folder beside it, for what may come back (undo)
 *   CRASH_MODE    what happens at that change:
 *     kill   the process ends before it, as by SIGKILL; the kernel goes on
 *     torn   a write does half its work, then the process ends
 *     zero   power fails: what was written and not synced is zeros
 *     undo   the same, but it is cut off, and names are lost too: a create,
 *            rename, unlink or mkdir whose folder was not synced after it has
 *            not happened
 *     eio    this one change fails, with EIO
 *     full   from here on nothing new can be written: ENOSPC
 *
 * A process that ends here has the status 137. Its other threads stand still
 * before anything is lost: nobody sees a disk on which the power has failed, or
 * answers for it. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_NAMES = 4096, MAX_FILES = 1024, MAX_THREADS = 256, STATUS = 137 };

/* A change of a name that its folder has not kept yet. */
struct name {
	enum { CREATED, RENAMED, UNLINKED, MADE, REMOVED } what;
	char *path;
	char *from;   /* of RENAMED */
	char *shadow; /* what had the name before; NULL: nothing */
};

/* A file with bytes that were not synced, the first of them at `from`. */
struct file {
	dev_t dev;
	ino_t ino;
	int fd; /* our own */
	off_t from;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned long count;
static struct name names[MAX_NAMES];
static size_t n_names, n_shadows;
static struct file files[MAX_FILES];
static size_t n_files;

#define REAL(name)                     \
	static __typeof__(name) *real; \
	if (!real)                     \
	*(void **)&real = dlsym(RTLD_NEXT, #name)

static const char *setting(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "";
}

static bool is_mode(const char *mode)
{
	return strcmp(setting("CRASH_MODE"), mode) == 0;
}

static bool is_inside(const char *path)
{
	const char *folder = setting("CRASH_FOLDER");
	size_t n = strlen(folder);
	return n && strncmp(path, folder, n) == 0 &&
	       (path[n] == '/' || !path[n]);
}

static bool path_of_fd(int fd, char out[PATH_MAX])
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
	return is_inside(out);
}

static bool path_at(int at, const char *path, char out[PATH_MAX])
{
	char dir[PATH_MAX];
	if (path[0] == '/') {
		snprintf(out, PATH_MAX, "%s", path);
		return is_inside(out);
	}
	if (at == AT_FDCWD ? !getcwd(dir, sizeof dir) : !path_of_fd(at, dir))
		return false;
	if (strcmp(path, ".") == 0)
		snprintf(out, PATH_MAX, "%s", dir);
	else
		snprintf(out, PATH_MAX, "%.2000s/%.2000s", dir, path);
	return is_inside(out);
}

static bool is_parent(const char *dir, const char *path)
{
	size_t n = strlen(dir);
	return strncmp(dir, path, n) == 0 && path[n] == '/' &&
	       !strchr(path + n + 1, '/');
}

static bool exists(const char *path, struct stat *st)
{
	return lstat(path, st) == 0;
}

/* ---- what is not on the disk yet ---- */

static void note_name(struct name x)
{
	if (n_names == MAX_NAMES)
		abort();
	x.path = strdup(x.path);
	x.from = x.from ? strdup(x.from) : NULL;
	names[n_names++] = x;
}

/* Keeps what has this name now under another one. */
static char *keep(const char *path)
{
	struct stat st;
	char *out = NULL;
	if (!is_mode("undo") || !exists(path, &st) || !S_ISREG(st.st_mode))
		return NULL;
	if (asprintf(&out, "%s/%zu", setting("CRASH_SHADOW"), n_shadows++) <
		    0 ||
	    linkat(AT_FDCWD, path, AT_FDCWD, out, 0))
		abort();
	return out;
}

static void names_synced(const char *dir)
{
	size_t n = 0;
	for (size_t i = 0; i < n_names; i++) {
		if (!is_parent(dir, names[i].path)) {
			names[n++] = names[i];
			continue;
		}
		free(names[i].path);
		free(names[i].from);
		free(names[i].shadow);
	}
	n_names = n;
}

static struct file *find_file(const struct stat *st)
{
	for (size_t i = 0; i < n_files; i++)
		if (files[i].dev == st->st_dev && files[i].ino == st->st_ino)
			return &files[i];
	return NULL;
}

static void note_bytes(int fd, off_t from)
{
	struct stat st;
	char link[64];
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return;
	struct file *f = find_file(&st);
	if (f) {
		f->from = from < f->from ? from : f->from;
		return;
	}
	if (n_files == MAX_FILES)
		abort();
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	files[n_files++] =
		(struct file){ st.st_dev, st.st_ino,
			       open(link, O_RDWR | O_CLOEXEC), from };
}

static void file_synced(int fd)
{
	struct stat st;
	struct file *f = fstat(fd, &st) ? NULL : find_file(&st);
	if (!f)
		return;
	close(f->fd);
	*f = files[--n_files];
}

/* ---- the end: system calls only, since a thread that stands still may hold
 * any lock, also malloc's and ours ---- */

static atomic_int still[MAX_THREADS]; /* thread ids; 0: none yet */

static void on_stand_still(int number)
{
	(void)number;
	int own = (int)syscall(SYS_gettid), none = 0;
	for (size_t i = 0; i < MAX_THREADS; i++, none = 0)
		if (atomic_compare_exchange_strong(&still[i], &none, own))
			break;
	for (;;)
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

static bool stands_still(int thread)
{
	for (size_t i = 0; i < MAX_THREADS && still[i]; i++)
		if (still[i] == thread)
			return true;
	return false;
}

/* Calls fn for each name in a folder until it says false. */
static bool each_in(const char *folder, bool (*fn)(int dir, const char *name))
{
	_Alignas(struct dirent64) char room[4096];
	int dir = (int)syscall(SYS_openat, AT_FDCWD, folder,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool goes_on = true;
	long n;
	while (goes_on &&
	       (n = syscall(SYS_getdents64, dir, room, sizeof room)) > 0) {
		const struct dirent64 *entry;
		for (long at = 0; at < n && goes_on; at += entry->d_reclen) {
			entry = (const void *)(room + at);
			if (strcmp(entry->d_name, ".") != 0 &&
			    strcmp(entry->d_name, "..") != 0)
				goes_on = fn(dir, entry->d_name);
		}
	}
	syscall(SYS_close, dir);
	return goes_on;
}

/* True: it stands still. What was asked for twice changes nothing. */
static bool ask_to_stand_still(int dir, const char *name)
{
	int thread = (int)strtol(name, NULL, 10);
	(void)dir;
	if (thread == (int)syscall(SYS_gettid) || stands_still(thread))
		return true;
	syscall(SYS_tgkill, getpid(), thread, SIGRTMAX);
	return false;
}

static void hold_the_others(void)
{
	struct sigaction act = { .sa_handler = on_stand_still };
	sigfillset(&act.sa_mask);
	sigaction(SIGRTMAX, &act, NULL);
	while (!each_in("/proc/self/task", ask_to_stand_still))
		sched_yield();
}

static void lose_bytes(bool as_zeros)
{
	struct stat st;
	for (size_t i = 0; i < n_files; i++) {
		const struct file *f = &files[i];
		if (fstat(f->fd, &st) || st.st_size <= f->from)
			continue;
		if (syscall(SYS_ftruncate, f->fd, f->from) ||
		    (as_zeros && syscall(SYS_ftruncate, f->fd, st.st_size)))
			_exit(1); /* the test sees another status */
	}
}

static bool remove_it(int dir, const char *name)
{
	char path[PATH_MAX];
	int flags[] = { 0, AT_REMOVEDIR };
	for (size_t i = 0; i < 2; i++)
		if (syscall(SYS_unlinkat, dir, name, flags[i]) == 0)
			return true;
	snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
	each_in(name[0] == '/' ? name : path, remove_it);
	return syscall(SYS_unlinkat, dir, name, AT_REMOVEDIR) == 0;
}

static void move(const char *from, const char *to)
{
	syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void undo(const struct name *x)
{
	switch (x->what) {
	case CREATED:
		syscall(SYS_unlinkat, AT_FDCWD, x->path, 0);
		break;
	case RENAMED:
		move(x->path, x->from);
		break;
	case MADE: /* all that is in it was reached by this name */
		remove_it(AT_FDCWD, x->path);
		break;
	case REMOVED:
		syscall(SYS_mkdirat, AT_FDCWD, x->path, 0755);
		break;
	case UNLINKED:
		break;
	}
	if (x->shadow)
		move(x->shadow, x->path);
}

static void die(void)
{
	hold_the_others();
	if (is_mode("zero") || is_mode("undo"))
		lose_bytes(is_mode("zero"));
	while (is_mode("undo") && n_names)
		undo(&names[--n_names]);
	_exit(STATUS);
}

static void tell(const char *op, const char *path)
{
	const char *log = setting("CRASH_LOG");
	if (!log[0])
		return;
	FILE *f = fopen(log, "ae");
	if (!f)
		abort();
	size_t n = strlen(setting("CRASH_FOLDER"));
	fprintf(f, "%s %s\n", op, strlen(path) < n ? ".." : path + n);
	fclose(f);
}

enum kind { GROWS, OTHER };

/* Before a change, under the mutex. False: it fails, errno says how. `*half`
 * is set where a write shall be torn. */
static bool step(enum kind kind, const char *op, const char *path, bool *half)
{
	unsigned long at = strtoul(setting("CRASH_AT"), NULL, 10);
	tell(op, path);
	count++;
	if (at && count > at && kind == GROWS && is_mode("full")) {
		errno = ENOSPC;
		return false;
	}
	if (count != at)
		return true;
	if (is_mode("eio") || (is_mode("full") && kind == GROWS)) {
		errno = is_mode("eio") ? EIO : ENOSPC;
		return false;
	}
	if (is_mode("full"))
		return true;
	if (is_mode("torn") && half) {
		*half = true;
		return true;
	}
	die();
	return true;
}

static int release(int result)
{
	int was = errno;
	pthread_mutex_unlock(&mutex);
	errno = was;
	return result;
}

/* ---- the calls ---- */

static int do_open(int (*real)(int, const char *, int, ...), int at,
		   const char *path, int flags, mode_t mode)
{
	char full[PATH_MAX];
	struct stat st;
	if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(at, path, full))
		return real(at, path, flags, mode);
	pthread_mutex_lock(&mutex);
	bool is_new = !exists(full, &st);
	bool cuts = !is_new && (flags & O_TRUNC) && st.st_size;
	if ((is_new && !step(GROWS, "create", full, NULL)) ||
	    (cuts && !step(OTHER, "truncate", full, NULL)))
		return release(-1);
	int fd = real(at, path, flags, mode);
	if (fd >= 0 && is_new)
		note_name((struct name){ .what = CREATED, .path = full });
	if (fd >= 0 && cuts)
		note_bytes(fd, 0);
	return release(fd);
}

#define MODE_OF(flags)                         \
	mode_t mode = 0;                       \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list args;                  \
		va_start(args, flags);         \
		mode = va_arg(args, mode_t);   \
		va_end(args);                  \
	}

int openat(int at, const char *path, int flags, ...)
{
	REAL(openat);
	MODE_OF(flags)
	return do_open(real, at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
	REAL(openat64);
	MODE_OF(flags)
	return do_open(real, at, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	REAL(openat);
	MODE_OF(flags)
	return do_open(real, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	REAL(openat64);
	MODE_OF(flags)
	return do_open(real, AT_FDCWD, path, flags, mode);
}

static ssize_t do_write(int fd, const void *p, size_t n, off_t at)
{
	REAL(pwrite);
	char path[PATH_MAX];
	bool half = false;
	path_of_fd(fd, path);
	pthread_mutex_lock(&mutex);
	if (!step(GROWS, "write", path, &half))
		return release(-1);
	note_bytes(fd, at);
	ssize_t done = real(fd, p, half ? n / 2 : n, at);
	if (half)
		die();
	release(0);
	return done;
}

ssize_t write(int fd, const void *p, size_t n)
{
	REAL(write);
	char path[PATH_MAX];
	off_t at = path_of_fd(fd, path) ? lseek(fd, 0, SEEK_CUR) : -1;
	if (at < 0)
		return real(fd, p, n);
	ssize_t done = do_write(fd, p, n, at);
	if (done > 0)
		lseek(fd, at + done, SEEK_SET);
	return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	REAL(pwrite);
	char path[PATH_MAX];
	return path_of_fd(fd, path) ? do_write(fd, p, n, at)
				    : real(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return pwrite(fd, p, n, at);
}

int ftruncate(int fd, off_t size)
{
	REAL(ftruncate);
	char path[PATH_MAX];
	if (!path_of_fd(fd, path))
		return real(fd, size);
	pthread_mutex_lock(&mutex);
	if (!step(OTHER, "truncate", path, NULL))
		return release(-1);
	note_bytes(fd, size);
	return release(real(fd, size));
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

static int do_sync(int (*real)(int), int fd)
{
	char path[PATH_MAX];
	struct stat st;
	/* The folder's own name is kept by the one above. */
	if (!path_of_fd(fd, path) && !is_parent(path, setting("CRASH_FOLDER")))
		return real(fd);
	pthread_mutex_lock(&mutex);
	if (!step(OTHER, "sync", path, NULL) || real(fd))
		return release(-1);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		names_synced(path);
	else
		file_synced(fd);
	return release(0);
}

int fsync(int fd)
{
	REAL(fsync);
	return do_sync(real, fd);
}

int fdatasync(int fd)
{
	REAL(fdatasync);
	return do_sync(real, fd);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
	REAL(renameat);
	char was[PATH_MAX], is[PATH_MAX];
	if (!path_at(from_at, from, was) || !path_at(to_at, to, is))
		return real(from_at, from, to_at, to);
	pthread_mutex_lock(&mutex);
	if (!step(OTHER, "rename", is, NULL))
		return release(-1);
	char *shadow = keep(is);
	if (real(from_at, from, to_at, to))
		return release(-1);
	note_name((struct name){ RENAMED, is, was, shadow });
	return release(0);
}

int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int at, const char *name, int flags)
{
	REAL(unlinkat);
	char path[PATH_MAX];
	struct stat st;
	if (!path_at(at, name, path) || !exists(path, &st))
		return real(at, name, flags);
	bool is_dir = flags & AT_REMOVEDIR;
	pthread_mutex_lock(&mutex);
	if (!step(OTHER, is_dir ? "rmdir" : "unlink", path, NULL))
		return release(-1);
	char *shadow = keep(path);
	if (real(at, name, flags))
		return release(-1);
	note_name((struct name){ is_dir ? REMOVED : UNLINKED, path, NULL,
				 shadow });
	return release(0);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int at, const char *name, mode_t mode)
{
	REAL(mkdirat);
	char path[PATH_MAX];
	struct stat st;
	if (!path_at(at, name, path) || exists(path, &st))
		return real(at, name, mode);
	pthread_mutex_lock(&mutex);
	if (!step(GROWS, "mkdir", path, NULL) || real(at, name, mode))
		return release(-1);
	note_name((struct name){ .what = MADE, .path = path });
	return release(0);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}
