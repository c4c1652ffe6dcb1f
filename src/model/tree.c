#include "model/tree.h"
#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add(struct tree *t, const char *name, struct err *e)
{
	if (t->n == LIMIT_LAYERS)
		return err_set(e, ERR_TOO_LARGE, "there are more than %d files",
			       LIMIT_LAYERS);
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->names = xrealloc(t->names, t->cap * sizeof *t->names);
	}
	t->names[t->n++] = name;
	return 0;
}

/* The visible names in an open folder, sorted; gives the descriptor back. */
static int list(int fd, const char *where, struct arena *a, const char ***out,
		size_t *out_n, struct err *e)
{
	const struct dirent *entry;
	struct tree names = { 0 };
	DIR *dir = fdopendir(fd);
	int failed = 0;
	if (!dir) {
		close(fd);
		return err_sys(e, "read %s", where);
	}
	while (!failed && (errno = 0, entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			failed = add(&names,
				     arena_str(a, str_of(entry->d_name)), e);
	if (!failed && errno)
		failed = err_sys(e, "read %s", where);
	closedir(dir);
	if (names.n)
		qsort(names.names, names.n, sizeof *names.names, by_name);
	*out = names.names;
	*out_n = names.n;
	return failed;
}

static int walk(struct tree *t, int fd, const char *where, const char *prefix,
		int depth, struct err *e);

static int take(struct tree *t, int dir, const char *where, const char *name,
		const char *path, int depth, struct err *e)
{
	struct stat st;
	if (!str_is_utf8(str_of(name)))
		return err_set(e, ERR_INVALID,
			       "%s holds a name that is not UTF-8", where);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "stat %s", path);
	t->n_links += S_ISLNK(st.st_mode);
	if (S_ISREG(st.st_mode))
		return add(t, path, e);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth == LIMIT_PACKAGE_DEPTH)
		return err_set(e, ERR_TOO_LARGE,
			       "%s: folders are nested deeper than %d", path,
			       LIMIT_PACKAGE_DEPTH);
	int fd = openat(dir, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	return walk(t, fd, path, arena_printf(&t->arena, "%s/", path),
		    depth + 1, e);
}

/* Takes the descriptor over. */
static int walk(struct tree *t, int fd, const char *where, const char *prefix,
		int depth, struct err *e)
{
	auto_free const char **names = NULL;
	size_t n = 0;
	auto_close int dir = dup(fd);
	int failed = dir < 0 ? err_sys(e, "open %s", where) : 0;
	if (failed)
		close(fd);
	else
		failed = list(fd, where, &t->arena, &names, &n, e);
	for (size_t i = 0; i < n && !failed; i++)
		failed = take(t, dir, where, names[i],
			      arena_printf(&t->arena, "%s%s", prefix, names[i]),
			      depth, e);
	return failed;
}

int tree_read(const char *dir, struct tree *out, struct err *e)
{
	*out = (struct tree){ 0 };
	arena_init(&out->arena);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", dir);
	return walk(out, fd, dir, "", 0, e) ? err_wrap(e, "%s", dir) : 0;
}

void tree_fini(struct tree *t)
{
	arena_fini(&t->arena);
	free(t->names);
}
