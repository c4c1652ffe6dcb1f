/* blobs.h - the blobs of one model on their way into the store: those that are
 * not there come so many at a time, over connections that they share, with
 * downloads (download.h) that other pulls may share too. From blobs_look()
 * until blobs_free() nobody removes one.
 *
 * Functions marked "job" block and are for jobs; none of the others may be
 * called meanwhile. */
#pragma once
#include "oci/download.h"

struct blobs_layer {
	struct digest digest;
	uint64_t bytes;
	uint64_t there;
};

struct blobs_fns {
	/* How far one is; `total` is the sum of all. */
	void (*on_progress)(void *ctx, const struct blobs_layer *l,
			    uint64_t total);
	/* Once for each blobs_start(): 0, all are in the store; or why not, as
	 * in download.h. The last thing that happens. */
	void (*on_end)(void *ctx, int outcome, const struct err *e);
};

struct blobs;

/* Borrows all of them. */
struct blobs *blobs_new(struct download_set *downloads,
			const struct blobs_fns *fns, void *ctx) must_use;
/* One more, once however often it is named; `path` says where the server has it
 * (fetch.h), NULL: it is a registry. ERR_UNSUPPORTED: no model is so large. */
must_use int blobs_add(struct blobs *b, const struct digest *d, uint64_t bytes,
		       const char *path, struct err *e);
/* Job: one that the caller puts there. */
void blobs_lease(struct blobs *b, const struct digest *d);
/* Job: what is there? *is_all: everything. Fails if the rest has no room. */
must_use int blobs_look(struct blobs *b, bool *is_all, struct err *e);
/* Job: is one of them not there? */
bool blobs_are_gone(const struct blobs *b);
/* Fetches what is missing, as blobs_look() saw it. When nothing is, on_end
 * comes before this returns, and with `is_silent` no progress. */
void blobs_start(struct blobs *b, struct registry *r, bool is_silent);
/* Lets go of all but the memory and the leases; no callback comes after. */
void blobs_leave(struct blobs *b);
/* After blobs_leave(). Gives the leases back, in a job. */
void blobs_free(struct blobs *b);
