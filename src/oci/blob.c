#include "oci/blob.h"
#include "oci/folder.h"
#include "oci/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct blob {
	struct folder *folder; /* the store's */
	struct digest want;
	uint64_t bytes;
	uint64_t done;
	struct digest_ctx *hash;
	int fd; /* owned; -1 if the store has the blob, or once it is there */
	char temp[FOLDER_PATH_BYTES];
};

int blob_begin(struct store *s, const struct digest *want, uint64_t bytes,
	       struct blob **out, struct err *e)
{
	auto_(blob) b = xcalloc(1, sizeof *b);
	b->folder = store_folder(s);
	b->want = *want;
	b->bytes = bytes;
	b->hash = digest_ctx_new();
	b->fd = -1;
	/* What is there already is only compared, not written again. */
	if (!store_has_blob(s, want, bytes) &&
	    folder_create(b->folder, STORE_BLOBS, want->hex, FOLDER_INCOMPLETE,
			  b->temp, &b->fd, e))
		return -1;
	*out = steal(&b);
	return 0;
}

int blob_write(struct blob *b, const void *p, size_t n, struct err *e)
{
	const char *at = p;
	if (n > b->bytes - b->done)
		return err_set(e, ERR_INVALID,
			       "blob sha256:%s is longer than its %llu bytes",
			       b->want.hex, (unsigned long long)b->bytes);
	digest_ctx_put(b->hash, p, n);
	b->done += n;
	while (b->fd >= 0 && n) {
		ssize_t written = write(b->fd, at, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return err_sys(e, "write %s/%s", b->folder->path,
				       b->temp);
		at += written;
		n -= (size_t)written;
	}
	return 0;
}

int blob_commit(struct blob *b, struct err *e)
{
	struct digest got = digest_ctx_end(b->hash);
	if (!digest_eq(&got, &b->want))
		return err_set(
			e, ERR_INVALID,
			"blob digest mismatch for \"sha256:%s\": expected "
			"sha256:%s, got sha256:%s",
			b->want.hex, b->want.hex, got.hex);
	if (b->fd < 0)
		return 0;
	if (folder_publish(b->folder, b->fd, b->temp, STORE_BLOBS, b->want.hex,
			   e))
		return -1;
	base_closep(&b->fd);
	b->fd = -1;
	return 0;
}

void blob_free(struct blob *b)
{
	if (!b)
		return;
	if (b->fd >= 0)
		folder_remove(b->folder, b->temp);
	base_closep(&b->fd);
	digest_ctx_free(b->hash);
	free(b);
}

int blob_put(struct store *s, const struct digest *want, struct str text,
	     struct err *e)
{
	auto_(blob) b = NULL;
	if (blob_begin(s, want, text.n, &b, e) ||
	    blob_write(b, text.p, text.n, e))
		return -1;
	return blob_commit(b, e);
}
