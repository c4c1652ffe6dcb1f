/* package.h - a model artifact made of local files, or of another model and
 * some, and the tar that carries it into a store (POST /models/load; load.h
 * reads it).
 *
 * Reproducible: the same bytes under the same file names give the same id on
 * every machine. Nothing of the machine goes in (parts.h), and `created` is
 * 1970 (a reader should show it as unknown) unless the caller says otherwise.
 * One thread at a time per package. */
#pragma once
#include "oci/digest.h"
#include "model/variant.h"

struct package;

struct package_options {
	/* One of these four. */
	const char *gguf;   /* of a split model any shard */
	const char *folder; /* with safetensors files, or one GGUF model */
	const char *dduf;
	struct str manifest; /* of another model, with its config */

	struct str config;
	const char *const *licences;
	size_t n_licences;
	const char *chat_template; /* or NULL */
	const char *mmproj;	   /* or NULL */
	int64_t context_size;	   /* 0: what the weights say */
	int64_t created_s;	   /* Unix time; 0 unless asked for */
	/* Of files, AS_IT_IS is Docker's. */
	enum variant_form form;
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
 * *n == 0 at its end. What is another model's is not in it: its store has that.
 * Blocks as read(2) does. */
uint64_t package_tar_bytes(const struct package *p);
must_use int package_tar_read(struct package *p, void *buf, size_t cap,
			      size_t *n, struct err *e);
