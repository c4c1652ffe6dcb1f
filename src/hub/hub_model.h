/* hub_model.h - the model made of the chosen files, when their blobs are in the
 * store: what packaging the same files would give. Blocks: for jobs. */
#pragma once
#include "hub/selection.h"
#include "oci/pull_source.h"

/* `digests`: one for each file of the selection. `created`: RFC 3339, or "". */
must_use int hub_model_make(struct store *s, const struct selection *files,
			    const struct digest *digests, const char *created,
			    struct pull_model *out, struct err *e);

/* Is the model with this id made of the same files, and all of them there? */
bool hub_model_is_same(struct store *s, const struct digest *id,
		       const struct selection *files);
