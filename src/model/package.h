/* package.h - a model artifact made of local files, and the tar that carries
 * it into a store (POST /models/load; load.h reads it).
 *
 * Reproducible: the same bytes under the same file names give the same id on
 * every machine. Nothing of the machine goes in: modes are 0644, owners 0, file
 * times 1970, and so is `created` unless the caller says otherwise (a reader
 * should show 0 as unknown). One thread at a time per package. */
#pragma once
#include "oci/digest.h"

struct package;

struct package_options {
	const char *gguf; /* of a split model any shard; all must be there */
	const char *const *licences;
	size_t n_licences;
	const char *chat_template; /* or NULL */
	const char *mmproj;	   /* or NULL */
	int64_t context_size;	   /* 0: what the file says */
	int64_t created_s;	   /* Unix time; 0 unless asked for */
};

/* Reads and hashes all files: blocks for their size. The paths are copied;
 * the files must stay as they are until the tar is read. */
must_use int package_new(const struct package_options *o, struct package **out,
			 struct err *e);
void package_free(struct package *p);
BASE_AUTO(package);

/* The id that the model will have in every store. */
const struct digest *package_id(const struct package *p);

/* The tar, piece by piece: its whole length, then up to `cap` bytes a call,
 * *n == 0 at its end. Blocks as read(2) does. */
uint64_t package_tar_bytes(const struct package *p);
must_use int package_tar_read(struct package *p, void *buf, size_t cap,
			      size_t *n, struct err *e);
