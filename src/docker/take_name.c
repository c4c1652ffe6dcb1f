#include "docker/take_name.h"
#include "docker/front_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- paths ---- */

/* The folder with its links followed (/var/run), the last component without:
 * a link there would lead to another's socket. */
static int resolve(const char *path, char **out, struct err *e)
{
	struct stat st;
	const char *slash = strrchr(path, '/');
	if (!slash || !slash[1])
		return err_set(e, ERR_USAGE, "'%s' is no absolute path", path);
	auto_free char *folder = xstrndup(path, (size_t)MAX(slash - path, 1));
	auto_free char *real = realpath(folder, NULL);
	if (!real || stat(real, &st) < 0)
		return err_sys(e, "look at the folder %s", folder);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
		return err_set(e, ERR_FORBIDDEN,
			       "%s: others than root may write there, so no "
			       "name in it can be relied on",
			       real);
	*out = xasprintf("%s%s", strcmp(real, "/") == 0 ? "" : real, slash);
	return 0;
}

int take_name_init(struct take_name *n, const struct setup *s, struct err *e)
{
	*n = (struct take_name){ 0 };
	if (resolve(s->docker, &n->name, e) ||
	    resolve(s->engine, &n->engine, e))
		return -1;
	n->ours = xstrdup(s->listen);
	n->mark = xasprintf("%s" FRONT_MARK, n->engine);
	n->fresh = xasprintf("%s.new", n->engine);
	return 0;
}

void take_name_fini(struct take_name *n)
{
	free(n->name);
	free(n->engine);
	free(n->ours);
	free(n->mark);
	free(n->fresh);
}

/* ---- what lies there ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool find(const char *path, struct stat *st)
{
	return lstat(path, st) == 0 && S_ISSOCK(st->st_mode);
}

static bool is_our_file(const struct take_name *n, const struct stat *st)
{
	struct stat own;
	return (find(n->ours, &own) && is_same(st, &own)) ||
	       (find(n->mark, &own) && is_same(st, &own));
}

bool take_name_is_ours(const struct take_name *n)
{
	struct stat st, own;
	return find(n->name, &st) && find(n->ours, &own) && is_same(&st, &own);
}

bool take_name_is_alive(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof a.sun_path)
		return false;
	memcpy(a.sun_path, path, strlen(path));
	auto_close int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 ||
			   (errno != ECONNREFUSED && errno != ENOENT));
}

/* Without its mark, one of ours is known by this: it is dead, and the Engine
 * lives under the name that we gave it. */
static bool is_our_remains(const struct take_name *n, const struct stat *st)
{
	struct stat engine;
	return find(n->engine, &engine) && !is_same(st, &engine) &&
	       !take_name_is_alive(n->name) && take_name_is_alive(n->engine);
}

/* ---- changes ---- */

/* A second name for `from`, instead of what `to` named. */
static int name_also(const struct take_name *n, const char *from,
		     const char *to, struct err *e)
{
	unlink(n->fresh);
	if (link(from, n->fresh) < 0)
		return errno == EXDEV ? err_set(e, ERR_UNSUPPORTED,
						"%s and %s must be on one file "
						"system",
						from, to)
				      : err_sys(e, "link %s to %s", from, to);
	int r = rename(n->fresh, to);
	if (r < 0)
		err_sys(e, "rename to %s", to);
	/* Between two names of one file, rename() leaves both. */
	unlink(n->fresh);
	return r;
}

/* `from` gets the Docker socket's name; n->fresh is what had it, if anything
 * did. The caller removes that. */
static int put(const struct take_name *n, const char *from, struct err *e)
{
	unlink(n->fresh);
	if (link(from, n->fresh) < 0)
		return errno == EXDEV
			       ? err_set(e, ERR_UNSUPPORTED,
					 "%s and %s must be on one "
					 "file system",
					 from, n->name)
			       : err_sys(e, "link %s to %s", from, n->name);
	if (renameat2(AT_FDCWD, n->fresh, AT_FDCWD, n->name, RENAME_EXCHANGE) ==
		    0 ||
	    renameat2(AT_FDCWD, n->fresh, AT_FDCWD, n->name,
		      RENAME_NOREPLACE) == 0)
		return 0;
	/* A file system without these. */
	if (rename(n->fresh, n->name) == 0)
		return 0;
	err_sys(e, "rename to %s", n->name);
	unlink(n->fresh);
	return -1;
}

static int copy_access(const struct take_name *n, const struct stat *from,
		       struct err *e)
{
	if (lchown(n->ours, from->st_uid, from->st_gid) < 0 ||
	    chmod(n->ours, from->st_mode & 07777) < 0)
		return err_sys(e, "give %s the owner and mode of %s", n->ours,
			       n->name);
	return 0;
}

/* Ours gets the name, in the place of `known` (NULL: of nothing), which is an
 * old one of ours, or has its second name. */
static int put_ours(const struct take_name *n, const struct stat *known,
		    struct err *e)
{
	struct stat was, own;
	if (name_also(n, n->ours, n->mark, e) || put(n, n->ours, e))
		return -1;
	/* Something else: an Engine made its socket since we looked. */
	if (find(n->fresh, &was) && !(known && is_same(&was, known)) &&
	    !(find(n->ours, &own) && is_same(&was, &own)) &&
	    rename(n->fresh, n->engine) == 0)
		copy_access(n, &was, e);
	unlink(n->fresh);
	return 0;
}

static int take_from_engine(const struct take_name *n, const struct stat *st,
			    struct err *e)
{
	struct stat own;
	if (!find(n->ours, &own))
		return err_set(e, ERR_UNAVAILABLE, "%s is no socket", n->ours);
	if (own.st_dev != st->st_dev)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s and %s must be on one file system", n->ours,
			       n->name);
	if (copy_access(n, st, e) || name_also(n, n->name, n->engine, e))
		return -1;
	return put_ours(n, st, e);
}

int take_name_take(const struct take_name *n, struct err *e)
{
	struct stat st, engine;
	bool has_engine = find(n->engine, &engine);
	if (lstat(n->name, &st) < 0) {
		if (errno != ENOENT)
			return err_sys(e, "look at %s", n->name);
		/* The Engine has stopped: its clients are told so by us. */
		return has_engine ? put_ours(n, NULL, e) : TAKE_NO_ENGINE;
	}
	if (S_ISLNK(st.st_mode))
		return err_set(e, ERR_UNSUPPORTED,
			       "%s is a symbolic link; name the socket itself "
			       "with --docker",
			       n->name);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_UNSUPPORTED, "%s is no socket", n->name);
	if (take_name_is_ours(n))
		return has_engine ? TAKE_ALREADY : TAKE_LOST;
	if (!is_our_file(n, &st) && !is_our_remains(n, &st))
		return take_from_engine(n, &st, e);
	if (has_engine && copy_access(n, &engine, e))
		return -1;
	return put_ours(n, &st, e);
}

/* ---- the undo ---- */

/* The Engine's gets the name, unless an Engine has made another since. */
static int put_engine(const struct take_name *n, struct err *e)
{
	struct stat was;
	if (put(n, n->engine, e))
		return -1;
	if (find(n->fresh, &was) && !is_our_file(n, &was) &&
	    take_name_is_alive(n->fresh))
		renameat2(AT_FDCWD, n->fresh, AT_FDCWD, n->name,
			  RENAME_EXCHANGE);
	return 0;
}

int take_name_release(const struct take_name *n, struct err *e)
{
	struct stat st, engine;
	bool is_there = lstat(n->name, &st) == 0;
	bool is_ours = is_there && S_ISSOCK(st.st_mode) &&
		       (is_our_file(n, &st) || is_our_remains(n, &st));
	bool has_engine =
		find(n->engine, &engine) && take_name_is_alive(n->engine);
	int got = is_ours ? 0 : TAKE_ALREADY;
	if (has_engine && (is_ours || !is_there)) {
		if (put_engine(n, e))
			return -1;
	} else if (is_ours) {
		/* No Engine: a name where nobody listens is none of it. */
		unlink(n->name);
		got = TAKE_NO_ENGINE;
	}
	unlink(n->fresh);
	unlink(n->engine);
	unlink(n->mark);
	return got;
}
