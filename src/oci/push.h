/* push.h - a model of the store goes to the registry in its name: its layers,
 * then its config, then the very bytes of its manifest. What the registry has
 * is not sent, what another of its repositories has is mounted.
 *
 * LIMIT_PUSHES run at one time, the others wait and say so. A push ends with
 * its client; the next one goes on from there. Nothing that it needs is removed
 * from the store meanwhile. */
#pragma once
#include "oci/registry.h"
#include "oci/store.h"

struct brake;
struct push_set;
struct push;

/* Borrows them. */
struct push_set *push_set_new(struct registry_set *registries,
			      struct store *store,
			      struct brake *brake) must_use;
/* No new ones; those there are end with ERR_UNAVAILABLE. */
void push_set_stop(struct push_set *s);
/* After push_set_stop(), and when the loop has run out: jobs use it. */
void push_set_free(struct push_set *s);

struct push_layer {
	struct digest digest;
	uint64_t bytes;
	uint64_t there; /* in the registry, or on its way */
};

struct push_fns {
	/* It waits for so many other pushes. Comes again from time to time. */
	void (*on_wait)(void *ctx, int others);
	void (*on_progress)(void *ctx, const struct push_layer *l);
	/* Exactly once: 0, or -1: ERR_AUTH, ERR_NOT_FOUND (the store has no
	 * such model), or what else went wrong. The push is gone when it
	 * returns. */
	void (*on_end)(void *ctx, int outcome, const struct err *e);
};

/* The model `id` to where `ref` says, which must have a name; `bearer` may be
 * NULL. Callbacks never come before this returns. */
must_use int push_start(struct push_set *s, const struct ref *ref,
			const struct digest *id, const char *bearer,
			const struct push_fns *fns, void *ctx,
			struct push **out, struct err *e);
/* No callback comes after. */
void push_cancel(struct push *p);
