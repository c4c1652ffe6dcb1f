/* store.h - the content store: a folder of blobs, each named by its digest, of
 * manifests, and the index of models. The layout on disk is Docker Model
 * Runner's, so that either can use what the other wrote.
 *
 * A blob has its name only once it is whole, verified and on the disk; the
 * index comes last. A crash leaves only files that end in `.incomplete` or
 * `.tmp-*`, which store_open() sweeps away once they are seven days old.
 *
 * Every function may be called from any thread: a store holds no state but its
 * folder. What changes the index holds a lock between processes and threads,
 * waits for it (at worst for as long as a deletion takes) and syncs the disk:
 * call it from a job, or where tens of milliseconds do not matter. */
#pragma once
#include "oci/index.h"
#include "oci/manifest.h"

struct store;

enum store_outcome { STORE_ABSENT = 1 };

/* Opens the store in `dir`, which it creates if need be; one that cannot be
 * written opens for reading. Blocks: a few small files. */
must_use int store_open(const char *dir, struct store **out, struct err *e);
void store_free(struct store *s);
BASE_AUTO(store);

/* ---- reading: each a few system calls, no lock ---- */

/* What models.json is now. The caller frees *out. */
must_use int store_index(struct store *s, struct index **out, struct err *e);

/* Says cheaply (one stat) whether models.json may have changed since. */
struct store_stamp {
	uint64_t ino, bytes; /* all 0: there is no such file */
	int64_t changed_ns;
};
must_use int store_stamp(struct store *s, struct store_stamp *out,
			 struct err *e);

/* A manifest, or a small blob (a config), as a whole and checked against its
 * digest; at most out->max bytes. May give STORE_ABSENT. */
must_use int store_read_manifest(struct store *s, const struct digest *d,
				 struct buf *out, struct err *e);
must_use int store_read_blob(struct store *s, const struct digest *d,
			     struct buf *out, struct err *e);
/* When the model came into this store, as its manifest's file says: Unix time,
 * 0 if it is not known. */
int64_t store_since(const struct store *s, const struct digest *id);
/* The absolute path, whether there is such a blob or not. */
const char *store_blob_path(const struct store *s, const struct digest *d,
			    struct arena *a);

/* What the store takes on the disk, as du(1) counts it. Walks all files. */
must_use int store_usage(struct store *s, uint64_t *out_bytes, struct err *e);

/* ---- changing ---- */

/* Makes the model known whose manifest this is, without tags; its blobs must
 * all be there, each with its size. Doing it twice is no error. */
must_use int store_add(struct store *s, struct str manifest,
		       struct digest *out_id, struct err *e);

/* Gives the tag (canonical text of ref.h) to the model, taking it from any
 * other. May give STORE_ABSENT. */
must_use int store_tag(struct store *s, const struct digest *id,
		       const char *tag, struct err *e);

struct store_removed {
	const char **untagged; /* in the order the tags were given */
	size_t n_untagged;
	bool is_deleted; /* the model is gone too, after the tags */
	struct digest id;
};

/* Deletes by tag: that tag, and the model with its last one. By id: the model;
 * one with several tags only with `force`, otherwise ERR_CONFLICT, which quotes
 * `name`. The blobs that no other model has go with it. Texts in *out lie in
 * the arena. May give STORE_ABSENT. */
must_use int store_delete(struct store *s, const struct ref *ref,
			  const char *name, bool force, struct arena *a,
			  struct store_removed *out, struct err *e);

/* ---- pulls ---- */

/* Nobody removes these blobs, in no process, until they are given back, which
 * may remove them: from a job. See lease.h. */
void store_lease(struct store *s, const struct digest *blobs, size_t n);
void store_release(struct store *s, const struct digest *blobs, size_t n);
/* Returns when every deletion that was under way, and may not have seen the
 * lease, is over. Blocks. */
must_use int store_settle(struct store *s, struct err *e);
/* Is there a blob of this name and size? */
bool store_has_blob(struct store *s, const struct digest *d, uint64_t bytes);
/* How many bytes can still be written. */
must_use int store_room(struct store *s, uint64_t *out_bytes, struct err *e);
