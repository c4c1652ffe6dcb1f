/* pull.h - a model comes from elsewhere into the store: what it is made of
 * (pull_source.h), its blobs (blobs.h), then its entry in the index.
 *
 * LIMIT_PULLS run at one time, the others wait and say so. What the store has
 * is not fetched; what two pulls want is fetched once. A pull ends with its
 * client; what it fetched stays, and the next one goes on from there. A model
 * that is here is used, with a warning, when its server cannot be reached. All
 * pulls give way to answers (brake.h). */
#pragma once
#include "oci/blobs.h"

struct brake;
struct pull_set;
struct pull;

/* Borrows them. */
struct pull_set *pull_set_new(struct registry_set *registries,
			      struct store *store,
			      struct brake *brake) must_use;
/* No new ones; those there are end with ERR_UNAVAILABLE. */
void pull_set_stop(struct pull_set *s);
/* After pull_set_stop(), and when the loop has run out: jobs use it. */
void pull_set_free(struct pull_set *s);
struct registry_set *pull_set_registries(const struct pull_set *s);

struct pull_fns {
	/* It waits for so many other pulls. Comes again from time to time. */
	void (*on_wait)(void *ctx, int others);
	/* How far one layer is; `total` is the sum of all. */
	void (*on_progress)(void *ctx, const struct blobs_layer *l,
			    uint64_t total);
	/* What it does now, when that is no layer. */
	void (*on_note)(void *ctx, const char *text);
	void (*on_warning)(void *ctx, const char *text);
	/* Exactly once: 0 with the text to tell, or -1: ERR_AUTH,
	 * ERR_NOT_FOUND, ERR_UNSUPPORTED (no model that we know), or what else
	 * went wrong. The pull is gone when it returns. */
	void (*on_end)(void *ctx, int outcome, const char *text,
		       const struct err *e);
};

/* From the registry that `ref` names, which must have a name; `bearer` may be
 * NULL. Callbacks never come before this returns. */
must_use int pull_registry_start(struct pull_set *s, const struct ref *ref,
				 const char *bearer, const struct pull_fns *fns,
				 void *ctx, struct pull **out, struct err *e);
/* No callback comes after. */
void pull_cancel(struct pull *p);
