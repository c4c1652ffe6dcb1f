#include "oci/verify.h"
#include "oci/folder.h"
#include "oci/store_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct item {
	struct digest digest;
	bool is_manifest;
};

struct verify {
	struct folder *folder; /* the store's */
	struct item *items;    /* owned; sorted, each once */
	size_t n, at;
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

void verify_free(struct verify *v)
{
	if (v)
		free(v->items);
	free(v);
}

static int hash(int fd, struct verify_step *out)
{
	enum { CHUNK_BYTES = 1 << 20 };
	auto_free char *chunk = xcalloc(1, CHUNK_BYTES);
	auto_(digest_ctx) ctx = digest_ctx_new();
	ssize_t n;
	while ((n = read(fd, chunk, CHUNK_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(out->problem, sizeof out->problem,
				 "it cannot be read: %s", strerror(errno));
			return VERIFY_BAD;
		}
		digest_ctx_put(ctx, chunk, (size_t)n);
		out->bytes += (uint64_t)n;
	}
	struct digest got = digest_ctx_end(ctx);
	if (digest_eq(&got, &out->digest))
		return 0;
	snprintf(out->problem, sizeof out->problem,
		 "it has changed: its digest is sha256:%.12s...", got.hex);
	return VERIFY_BAD;
}

int verify_next(struct verify *v, struct verify_step *out, struct err *e)
{
	char path[FOLDER_PATH_BYTES];
	*out = (struct verify_step){ 0 };
	if (v->at == v->n)
		return VERIFY_END;
	const struct item *it = &v->items[v->at++];
	out->digest = it->digest;
	snprintf(path, sizeof path, "%s/%s",
		 it->is_manifest ? STORE_MANIFESTS : STORE_BLOBS,
		 it->digest.hex);
	auto_close int fd =
		openat(v->folder->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return hash(fd, out);
	if (errno != ENOENT)
		return err_sys(e, "open %s/%s", v->folder->path, path);
	snprintf(out->problem, sizeof out->problem, "it is missing");
	return VERIFY_BAD;
}

size_t verify_count(const struct verify *v)
{
	return v->n;
}
