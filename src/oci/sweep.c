#include "oci/sweep.h"
#include "oci/folder.h"
#include "oci/store_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define UNFINISHED_AFTER_S 3600

/* What may stay, sorted. */
struct keep {
	struct digest *all; /* owned */
	size_t n, cap;
};

static int by_hex(const void *a, const void *b)
{
	const struct digest *x = a, *y = b;
	return memcmp(x->hex, y->hex, sizeof x->hex);
}

static void keep_put(struct keep *k, const struct digest *all, size_t n)
{
	if (k->n + n > k->cap) {
		k->cap = 2 * (k->n + n);
		k->all = xrealloc(k->all, k->cap * sizeof *k->all);
	}
	if (n)
		memcpy(k->all + k->n, all, n * sizeof *all);
	k->n += n;
}

static bool keep_has(const struct keep *k, const struct digest *d)
{
	return k->n && bsearch(d, k->all, k->n, sizeof *k->all, by_hex);
}

static void keep_sort(struct keep *k)
{
	if (k->n)
		qsort(k->all, k->n, sizeof *k->all, by_hex);
}

/* ---- one folder ---- */

/* Nobody has touched it for long, and no process holds its lock. Then *lock
 * holds it, so that nobody begins with what is being removed. */
static bool is_abandoned(int dir, const char *name, const struct stat *st,
			 int after_s, int *lock)
{
	if (time(NULL) - st->st_mtime < after_s)
		return false;
	*lock = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return *lock >= 0 && flock(*lock, LOCK_EX | LOCK_NB) == 0;
}

struct sweep {
	struct store *store;
	struct keep keep;
	int unfinished_after_s;
	struct sweep_report *report;
};

static bool must_stay(struct sweep *w, int dir, const char *name,
		      const struct stat *st, int *lock)
{
	struct digest d;
	if (digest_parse_hex(str_of(name), &d))
		return keep_has(&w->keep, &d) || store_is_leased(w->store, &d);
	/* Foreign files are not ours to remove. */
	return !folder_is_unfinished(name) || !S_ISREG(st->st_mode) ||
	       !is_abandoned(dir, name, st, w->unfinished_after_s, lock);
}

static void sweep_folder(struct sweep *w, const char *sub)
{
	struct folder *f = store_folder(w->store);
	struct stat st;
	const struct dirent *entry;
	int fd = openat(f->fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	while (dir && (entry = readdir(dir))) {
		char path[FOLDER_PATH_BYTES];
		auto_close int lock = -1;
		if (entry->d_name[0] == '.' ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    must_stay(w, fd, entry->d_name, &st, &lock) ||
		    snprintf(path, sizeof path, "%s/%s", sub, entry->d_name) >=
			    (int)sizeof path)
			continue;
		if (S_ISDIR(st.st_mode))
			folder_remove_tree(f, path);
		else
			folder_remove(f, path);
		w->report->n_files++;
		/* The files of a bundle are names of blobs. */
		if (S_ISREG(st.st_mode))
			w->report->bytes += (uint64_t)st.st_blocks * 512;
	}
	if (dir)
		closedir(dir);
}

/* ---- the index ---- */

static void drop(struct index *x, bool all, struct arena *a,
		 struct sweep_report *out)
{
	out->models = arena_alloc(a, (x->n + 1) * sizeof *out->models);
	for (size_t i = 0; i < x->n;) {
		if (!all && x->models[i].n_tags) {
			i++;
			continue;
		}
		out->models[out->n_models++] = x->models[i].id;
		index_remove(x, &x->models[i]);
	}
}

static int run(struct store *s, bool all, struct arena *a,
	       struct sweep_report *out, struct err *e)
{
	auto_close int locked = -1;
	auto_(index) x = NULL;
	struct sweep w = { .store = s,
			   .unfinished_after_s = all ? 0 : UNFINISHED_AFTER_S,
			   .report = out };
	*out = (struct sweep_report){ 0 };
	if (store_begin(s, &locked, &x, e))
		return -1;
	drop(x, all, a, out);
	if (out->n_models && store_save(s, x, e))
		return -1;
	for (size_t i = 0; i < x->n; i++) {
		keep_put(&w.keep, &x->models[i].id, 1);
		keep_put(&w.keep, x->models[i].files, x->models[i].n_files);
	}
	keep_sort(&w.keep);
	/* Who holds the lock writes them: of ours nobody does now. */
	folder_sweep(store_folder(s), "", all ? -1 : UNFINISHED_AFTER_S);
	sweep_folder(&w, STORE_BUNDLES);
	sweep_folder(&w, STORE_MANIFESTS);
	sweep_folder(&w, STORE_BLOBS);
	free(w.keep.all);
	return 0;
}

int sweep_prune(struct store *s, struct arena *a, struct sweep_report *out,
		struct err *e)
{
	return run(s, false, a, out, e);
}

int sweep_purge(struct store *s, struct arena *a, struct sweep_report *out,
		struct err *e)
{
	return run(s, true, a, out, e);
}
