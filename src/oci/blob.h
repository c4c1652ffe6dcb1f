/* blob.h - a blob on its way into the store: bytes are hashed as they are
 * written, and the file gets its name when all have come and the digest is
 * right. Whatever happens before leaves no blob.
 *
 * One thread at a time per blob. blob_write() blocks as write(2) does;
 * blob_commit() syncs to the disk, seconds for gigabytes. */
#pragma once
#include "oci/store.h"

struct blob;

/* Begins a blob that must turn out to have this digest and size. */
must_use int blob_begin(struct store *s, const struct digest *want,
			uint64_t bytes, struct blob **out, struct err *e);
/* Fails with ERR_INVALID on more bytes than were said. */
must_use int blob_write(struct blob *b, const void *p, size_t n, struct err *e);
/* Verifies, syncs, gives the name. ERR_INVALID if the digest is wrong. The
 * blob stays the caller's to free. */
must_use int blob_commit(struct blob *b, struct err *e);
/* Without a commit before it, throws the bytes away. */
void blob_free(struct blob *b);
BASE_AUTO(blob);

/* All of that for bytes that are in memory. */
must_use int blob_put(struct store *s, const struct digest *want,
		      struct str text, struct err *e);
