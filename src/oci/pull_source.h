/* pull_source.h - what a pull asks to learn what its model is made of: a
 * registry (pull_registry.c), or another kind of server. The pull does the
 * rest: it waits for its turn, knows what is here, fetches the blobs, and puts
 * the model into the index.
 *
 * All is on the loop but what is marked "job". */
#pragma once
#include "base/buf.h"
#include "oci/pull.h"

/* A model about to be stored. Both bufs have their ceilings. */
struct pull_model {
	struct buf config, manifest;
	struct digest config_digest;
};

struct pull_source {
	/* What is the model made of? `local` is what the store has by that
	 * name, or NULL. Once it knows, it calls, exactly once, a function of
	 * the first group below. May come again after pull_use_local(). */
	void (*ask)(void *src, const struct digest *local);
	/* Job, when all blobs are there. Fills in *m. */
	int (*make)(void *src, struct pull_model *m, struct err *e);
	/* Asks no more: lets go of all but the memory, which a job may use. */
	void (*leave)(void *src);
	/* After leave. */
	void (*free)(void *src);
};

/* As pull_registry_start(). `src` is the pull's, also when this fails. */
must_use int pull_start(struct pull_set *s, const struct ref *ref,
			const struct pull_source *source, void *src,
			const struct pull_fns *fns, void *ctx,
			struct pull **out, struct err *e);

/* ---- ends of asking ---- */

/* What is here is what is there. */
void pull_use_local(struct pull *p);
void pull_fail(struct pull *p, const struct err *e);
/* The same, but if the server cannot be reached and the store has a model by
 * that name, it is used, with a warning. */
void pull_fail_or_use_local(struct pull *p, const struct err *e);
/* Fetches what pull_want() has named, from `r`, which is held. `id` is that of
 * the model, NULL if only `make` will tell. */
void pull_fetch(struct pull *p, struct registry *r, const struct digest *id);

/* ---- on the way there ---- */

/* As blobs_add() in blobs.h. */
must_use int pull_want(struct pull *p, const struct digest *d, uint64_t bytes,
		       const char *path, struct err *e);
/* Tells the client something that is no layer. */
void pull_tell(struct pull *p, const char *text);
void pull_warn(struct pull *p, const char *text);
/* A job on `src`, one at a time. An error of it ends the pull; `done` is called
 * only if the pull goes on. */
void pull_work(struct pull *p, job_work_fn work, job_done_fn done);
struct store *pull_store(const struct pull *p);
const struct ref *pull_ref(const struct pull *p);
