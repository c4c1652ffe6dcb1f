#include "oci/verify.h"
#include "base/limits.h"
#include "oci/folder.h"
#include "oci/store_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct item {
	struct digest digest;
	bool is_manifest;
};

struct verify {
	struct folder *folder; /* the store's */
	struct item *items;    /* owned; sorted, each once */
	size_t n, at;
	/* The file that is being read. */
	int fd; /* owned; -1: none */
	struct digest_ctx *hash;
	struct verify_step step;
};

static void put(struct verify *v, const struct digest *d, bool is_manifest)
{
	/* Doubles at powers of two. */
	if ((v->n & (v->n - 1)) == 0)
		v->items = xrealloc(v->items,
				    (v->n ? 2 * v->n : 1) * sizeof *v->items);
	v->items[v->n++] = (struct item){ *d, is_manifest };
}

static int by_digest(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = memcmp(x->digest.hex, y->digest.hex, sizeof x->digest.hex);
	return order ? order : x->is_manifest - y->is_manifest;
}

static void put_folder(struct verify *v, const char *sub, bool is_manifest)
{
	struct digest d;
	const struct dirent *entry;
	int fd = openat(v->folder->fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	while (dir && (entry = readdir(dir)))
		if (digest_parse_hex(str_of(entry->d_name), &d))
			put(v, &d, is_manifest);
	if (dir)
		closedir(dir);
}

static void put_once(struct verify *v)
{
	size_t n = 0;
	if (v->n)
		qsort(v->items, v->n, sizeof *v->items, by_digest);
	for (size_t i = 0; i < v->n; i++)
		if (!n || by_digest(&v->items[n - 1], &v->items[i]))
			v->items[n++] = v->items[i];
	v->n = n;
}

int verify_new(struct store *s, struct verify **out, struct err *e)
{
	auto_(verify) v = xcalloc(1, sizeof *v);
	auto_(index) x = NULL;
	v->folder = store_folder(s);
	v->fd = -1;
	if (store_index(s, &x, e))
		return -1;
	for (size_t i = 0; i < x->n; i++) {
		put(v, &x->models[i].id, true);
		for (size_t k = 0; k < x->models[i].n_files; k++)
			put(v, &x->models[i].files[k], false);
	}
	put_folder(v, STORE_MANIFESTS, true);
	put_folder(v, STORE_BLOBS, false);
	put_once(v);
	*out = steal(&v);
	return 0;
}

static void close_file(struct verify *v)
{
	base_closep(&v->fd);
	v->fd = -1;
	digest_ctx_free(steal(&v->hash));
}

void verify_free(struct verify *v)
{
	if (!v)
		return;
	close_file(v);
	free(v->items);
	free(v);
}

static int judge(struct verify *v)
{
	struct verify_step *step = &v->step;
	struct digest got = digest_ctx_end(v->hash);
	if (digest_eq(&got, &step->digest))
		return 0;
	snprintf(step->problem, sizeof step->problem,
		 "it has changed: its digest is sha256:%.12s...", got.hex);
	return VERIFY_BAD;
}

/* A part of the file, so that others get their turn. */
static int hash(struct verify *v)
{
	enum { CHUNK_BYTES = 1 << 20 };
	auto_free char *chunk = xcalloc(1, CHUNK_BYTES);
	struct verify_step *step = &v->step;
	uint64_t until = step->bytes + LIMIT_VERIFY_STEP_BYTES;
	while (step->bytes < until) {
		ssize_t n = read(v->fd, chunk, CHUNK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(step->problem, sizeof step->problem,
				 "it cannot be read: %s", strerror(errno));
			return VERIFY_BAD;
		}
		if (n == 0)
			return judge(v);
		digest_ctx_put(v->hash, chunk, (size_t)n);
		step->bytes += (uint64_t)n;
	}
	return VERIFY_MORE;
}

static void open_next(struct verify *v)
{
	char path[FOLDER_PATH_BYTES];
	struct stat st;
	const struct item *it = &v->items[v->at++];
	struct verify_step *step = &v->step;
	*step = (struct verify_step){ .digest = it->digest };
	snprintf(path, sizeof path, "%s/%s",
		 it->is_manifest ? STORE_MANIFESTS : STORE_BLOBS,
		 it->digest.hex);
	/* Links are followed, as they are when the model is used; a pipe must
	 * not be waited for. */
	v->fd = openat(v->folder->fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (v->fd >= 0 && fstat(v->fd, &st) == 0 && S_ISREG(st.st_mode)) {
		v->hash = digest_ctx_new();
		return;
	}
	if (v->fd >= 0)
		snprintf(step->problem, sizeof step->problem, "it is no file");
	else if (errno == ENOENT)
		snprintf(step->problem, sizeof step->problem, "it is missing");
	else
		snprintf(step->problem, sizeof step->problem,
			 "it cannot be opened: %s", strerror(errno));
	base_closep(&v->fd);
}

int verify_next(struct verify *v, struct verify_step *out)
{
	if (v->fd < 0 && v->at == v->n)
		return VERIFY_END;
	if (v->fd < 0)
		open_next(v);
	int got = v->fd < 0 ? VERIFY_BAD : hash(v);
	*out = v->step;
	if (got != VERIFY_MORE)
		close_file(v);
	return got;
}

size_t verify_count(const struct verify *v)
{
	return v->n;
}
