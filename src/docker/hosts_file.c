#include "docker/hosts_file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 4096
/* Somebody else may write at the same time; so often we begin anew. */
#define TRIES 3

/* Besides the outcomes of hosts_file.h: it is to be done again. */
enum { AGAIN = 2 };

/* Opens a regular file and nothing else. A fifo would wait, a device may do
 * anything, so it is looked at first. */
static int open_regular(int dir, const char *name, int flags, int *fd,
			struct stat *st, struct err *e)
{
	if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? HOSTS_FILE_ABSENT
				       : err_sys(e, "look at %s", name);
	if (!S_ISREG(st->st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file",
			       name);
	*fd = openat(dir, name,
		     flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT ? HOSTS_FILE_ABSENT
				       : err_sys(e, "open %s", name);
	if (fstat(*fd, st) < 0)
		return err_sys(e, "look at %s", name);
	if (!S_ISREG(st->st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file",
			       name);
	return 0;
}

/* Has somebody it open for writing? The kernel gives a lease to read only where
 * nobody has; where it gives none at all, we do not know of any. Who comes just
 * then costs us a signal, by default one that ends a process. */
static bool is_being_written(int fd)
{
	fcntl(fd, F_SETSIG, SIGURG); /* ignored */
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

/* All of it; *st is as it was before. May give HOSTS_FILE_ABSENT, also for an
 * empty file that its owner is about to fill: from its first byte, where what
 * we appended would be. That he closed it will be seen. */
static int read_file(int dir, const char *name, struct buf *to, size_t limit,
		     struct stat *st, struct err *e)
{
	auto_close int fd = -1;
	char piece[PIECE_BYTES];
	ssize_t n;
	int r = open_regular(dir, name, O_RDONLY, &fd, st, e);
	if (r)
		return r;
	if (st->st_size > (off_t)limit)
		return err_set(e, ERR_TOO_LARGE,
			       "%s has more than %zu bytes; it is left as it "
			       "is",
			       name, limit);
	while (to->n <= limit && (n = read(fd, piece, sizeof piece)) != 0) {
		if (n < 0)
			return err_sys(e, "read %s", name);
		if (buf_put(to, piece, (size_t)n))
			break;
	}
	if (to->n > limit)
		return err_set(e, ERR_TOO_LARGE, "%s grows while it is read",
			       name);
	if (!to->n && is_being_written(fd))
		return HOSTS_FILE_ABSENT;
	return 0;
}

/* ---- what stands beside a container's hosts file ---- */

static void read_hostname(int dir, char *out, size_t n)
{
	auto_buf struct buf text;
	struct stat st;
	struct err e;
	buf_init(&text, n + PIECE_BYTES);
	out[0] = '\0';
	if (read_file(dir, "hostname", &text, n - 1, &st, &e))
		return;
	struct str rest = buf_str(&text), line = { "", 0 };
	str_split(&rest, '\n', &line);
	line = str_trim(line);
	memcpy(out, line.p, line.n);
	out[line.n] = '\0';
}

/* Did the user give the container this name (--add-host, extra_hosts)? Docker
 * writes such a line exactly as we write ours. */
static bool is_users(int dir, const char *name)
{
	auto_buf struct buf text;
	auto_json *config = NULL;
	struct stat st;
	struct err e;
	json_t *entry;
	size_t i;
	buf_init(&text, LIMIT_HOSTCONFIG_BYTES + PIECE_BYTES);
	if (read_file(dir, "hostconfig.json", &text, LIMIT_HOSTCONFIG_BYTES,
		      &st, &e) ||
	    json_parse(buf_str(&text), &config, &e))
		return false;
	json_array_foreach(json_object_get(config, "ExtraHosts"), i, entry)
	{
		struct str who = str_of(json_string_value(entry));
		ptrdiff_t end = str_find(who, ':');
		if (end >= 0 && str_eq_nocase(str_head(who, (size_t)end), name))
			return true;
	}
	return false;
}

/* ---- changing it ---- */

/* Opens for writing the file that was read, if it is still as it was; else
 * AGAIN. */
static int open_same(const struct hosts_file *f, const struct stat *was,
		     bool appends, int *fd, struct err *e)
{
	struct stat now;
	int r = open_regular(f->dir, f->name, O_RDWR | (appends ? O_APPEND : 0),
			     fd, &now, e);
	if (r)
		return r;
	if (now.st_dev != was->st_dev || now.st_ino != was->st_ino ||
	    now.st_size != was->st_size ||
	    now.st_mtim.tv_sec != was->st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
		return AGAIN;
	return 0;
}

static int write_from(int fd, struct str bytes, size_t at, bool appends,
		      struct err *e)
{
	while (at < bytes.n) {
		ssize_t n = appends ? write(fd, bytes.p + at, bytes.n - at)
				    : pwrite(fd, bytes.p + at, bytes.n - at,
					     (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write");
		at += (size_t)n;
	}
	return 0;
}

/* Half a line would be nobody's: no undo would know it. Who appended to it
 * meanwhile keeps what is his. */
static void take_back(int fd, size_t at, struct str bytes)
{
	char now[LIMIT_HOSTS_LINE_BYTES + 2];
	size_t n = bytes.n - at;
	ssize_t got = n < sizeof now ? pread(fd, now, n + 1, (off_t)at) : -1;
	if (got > 0 && (size_t)got <= n &&
	    memcmp(now, bytes.p + at, (size_t)got) == 0 &&
	    ftruncate(fd, (off_t)at) < 0)
		log_warn("half a line stays in a hosts file error=\"%s\"",
			 strerror(errno));
}

static int change(const struct hosts_file *f, const struct stat *was,
		  struct str bytes, size_t at, struct err *e)
{
	auto_close int fd = -1;
	bool appends = at == (size_t)was->st_size;
	int r = open_same(f, was, appends, &fd, e);
	if (r)
		return r;
	if (write_from(fd, bytes, at, appends, e)) {
		if (appends)
			take_back(fd, at, bytes);
		return err_wrap(e, "%s", f->name);
	}
	if (!appends && ftruncate(fd, (off_t)bytes.n) < 0)
		return err_sys(e, "shorten %s", f->name);
	return 0;
}

/* May give AGAIN, and may change the rule for that. */
static int apply_once(const struct hosts_file *f, struct hosts_rule *r,
		      struct hosts_file_look *out, struct err *e)
{
	auto_buf struct buf file;
	struct hosts_edit edit;
	struct stat was;
	char hostname[256] = "";
	buf_init(&file, LIMIT_HOSTS_BYTES + PIECE_BYTES);
	/* What we made one line longer must still be read to take it out. */
	size_t limit =
		LIMIT_HOSTS_BYTES + (r->address ? 0 : LIMIT_HOSTS_LINE_BYTES);
	int got = read_file(f->dir, f->name, &file, limit, &was, e);
	out->bytes += file.n;
	if (got)
		return got;
	if (file.n != (size_t)was.st_size)
		return AGAIN;
	if (f->is_container)
		read_hostname(f->dir, hostname, sizeof hostname);
	got = hosts_apply(&file, hostname, r, &edit);
	out->is_taken = edit.is_taken;
	if (got == HOSTS_SAME)
		return 0;
	if (edit.unmarked && f->is_container && is_users(f->dir, r->name)) {
		r->ours = NULL;
		return AGAIN;
	}
	got = change(f, &was, buf_str(&file), edit.at, e);
	out->is_changed = got == 0;
	return got;
}

int hosts_file_apply(const struct hosts_file *f, const struct hosts_rule *r,
		     struct hosts_file_look *out, struct err *e)
{
	struct hosts_rule rule = *r;
	int got = AGAIN;
	*out = (struct hosts_file_look){ 0 };
	for (int i = 0; i < TRIES && got == AGAIN; i++)
		got = apply_once(f, &rule, out, e);
	if (got == AGAIN)
		return err_set(e, ERR_BUSY,
			       "%s is written all the time by somebody else",
			       f->name);
	return got;
}
