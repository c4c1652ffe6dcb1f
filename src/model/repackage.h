/* repackage.h - a variant of a model that shares all its layers: only what the
 * config says of the context differs, and so config, manifest and id. */
#pragma once
#include "oci/store.h"

/* Puts the variant into the store, without tags; `created` stays. One in CNCF's
 * form becomes one in Docker's (variant.h). Blocks: for jobs. May give
 * STORE_ABSENT. */
must_use int repackage_run(struct store *s, const struct digest *id,
			   int64_t context_size, struct digest *out,
			   struct err *e);
