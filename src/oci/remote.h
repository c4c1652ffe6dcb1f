/* remote.h - what a registry has under a name, without pulling it: manifest (of
 * an index the one model in it) and config. */
#pragma once
#include "oci/manifest.h"
#include "oci/model_config.h"
#include "oci/registry.h"

struct remote;

struct remote_model {
	struct digest id;
	const struct manifest *manifest;
	const struct model_config *config;
};

/* Exactly once; the remote is gone when it returns. `m` only when outcome is 0,
 * borrowed. Codes as in fetch.h; ERR_UNSUPPORTED: it is no model. */
typedef void (*remote_fn)(void *ctx, int outcome, const struct remote_model *m,
			  const struct err *e);

/* `ref` must have a name. `fn` never comes before this returns. */
must_use int remote_start(struct registry_set *registries,
			  const struct ref *ref, remote_fn fn, void *ctx,
			  struct remote **out, struct err *e);
/* `fn` does not come after. */
void remote_cancel(struct remote *r);
