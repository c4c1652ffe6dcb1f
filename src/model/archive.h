/* archive.h - the tar that carries a model artifact: planned as a list of
 * pieces, then read in order. A file's contents are opened when their turn
 * comes, so a plan holds no descriptors but one. One thread at a time. */
#pragma once
#include "oci/manifest.h"

struct archive;

enum archive_form {
	ARCHIVE_DOCKER, /* what Docker Model Runner loads and exports */
	ARCHIVE_OCI,	/* an OCI image layout, for all other tools */
};

/* The artifact: `manifest` is the text of `m`. Of layer i the contents lie in
 * the file paths[i], of the config in memory; one whose path is NULL is left
 * out, since the reader has it. All is borrowed until free. */
struct archive_contents {
	const struct manifest *m;
	struct str manifest;
	struct str config;
	const char *const *paths;
};

struct archive *archive_new(enum archive_form form,
			    const struct archive_contents *c) must_use;
void archive_free(struct archive *a);
BASE_AUTO(archive);

/* Of the whole tar. */
uint64_t archive_bytes(const struct archive *a);
/* Up to `cap` bytes, *n == 0 at its end. Blocks as read(2) does. */
must_use int archive_read(struct archive *a, void *buf, size_t cap, size_t *n,
			  struct err *e);
