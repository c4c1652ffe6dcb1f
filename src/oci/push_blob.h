/* push_blob.h - one blob of the store on its way to a registry. It is looked
 * for there first, then mounted from another repository that has it, then sent:
 * a small one whole, a large one in chunks. What breaks is tried again after a
 * pause, from where the registry says that it is; what was left in the middle
 * is gone on with by the next push. Done means that the registry has been asked
 * and says that it has the blob. */
#pragma once
#include "io/lane.h"
#include "oci/push_kept.h"
#include "oci/registry.h"

struct push_blob;

struct push_blob_config {
	struct registry *registry; /* held */
	struct lane *lane;	   /* for the disk */
	struct push_kept *kept;
	struct digest digest;
	uint64_t bytes;
	const char *path; /* of the file; copied */
	/* Repositories of the same registry that may have it; they and their
	 * texts outlive it. */
	const char *from[LIMIT_PUSH_SOURCES];
	size_t n_from;
};

/* Exactly once, the last. Codes as in fetch.h; ERR_CORRUPT: the registry, or
 * the file, is not what it should be. */
typedef void (*push_blob_fn)(void *ctx, int outcome, const struct err *e);

/* `fn` never comes before this returns. */
struct push_blob *push_blob_start(const struct push_blob_config *c,
				  push_blob_fn fn, void *ctx) must_use;
/* No callback comes after. */
void push_blob_cancel(struct push_blob *b);
/* How many bytes have been sent. */
uint64_t push_blob_there(const struct push_blob *b);
/* Is it being sent, or only looked for? */
bool push_blob_is_sent(const struct push_blob *b);
