/* download.h - one blob on its way from a registry into the store, however many
 * wait for it: it is fetched once. Large blobs come over several connections
 * where the registry serves ranges; hashing follows behind, on other threads;
 * what breaks is tried again after a pause; what is stopped is taken up later
 * where it was (partial.h). */
#pragma once
#include "io/lane.h"
#include "oci/registry.h"
#include "oci/store.h"

/* Every blob under way. */
struct download_set {
	struct uv_loop_s *loop;
	struct store *store;
	struct lane *lane; /* for the disk and hashing */
	struct list all;
};
void download_set_init(struct download_set *d, struct uv_loop_s *loop,
		       struct store *s, struct lane *lane);

struct download;

/* One who waits; embedded. */
struct download_watch {
	struct list link;
	struct download *download; /* NULL: not waiting */
	bool is_first;		   /* its registry is the one in use */
	/* Exactly once, unless it left: 0, the blob is in the store. Codes as
	 * in fetch.h, ERR_CORRUPT for what is not what it should be. */
	void (*on_end)(void *ctx, int outcome, const struct err *e);
	void *ctx;
};

/* Joins the download of this blob, or begins it. `path` says where the server
 * has it (fetch.h); NULL: where a registry has it. on_end never comes before
 * this returns. */
void download_join(struct download_set *all, struct registry *r,
		   const struct digest *blob, uint64_t bytes, const char *path,
		   struct download_watch *w);
/* The last to leave stops it; what came stays on disk. */
void download_leave(struct download_watch *w);
/* How many bytes are there, hashed or not. */
uint64_t download_bytes(const struct download_watch *w);
/* How many connections it may have from now on; 1 at first. */
void download_widen(struct download_watch *w, int n);
