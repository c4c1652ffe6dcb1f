/* hub.h - models from Hugging Face, or from a server that speaks as it does.
 *
 *   hf.co/Org/Repo              Q4_K_M where there is one
 *   hf.co/Org/Repo:Q8_0         another quantization, or a file (selection.h)
 *   hf.co/Org/Repo@v1.0:Q8_0    of a branch, a tag or a commit; stored, and
 *                               named from then on, as :Q8_0--v1.0
 *
 * A pull asks which commit the revision is, and takes all files of that one
 * commit. What lands in the store is what packaging the same files would give,
 * with the commit's date, so that the id is the same everywhere. A repository
 * whose chosen files have not changed is not fetched again. */
#pragma once
#include "oci/pull.h"

struct hub;

struct hub_settings {
	const char *endpoint;	/* or NULL: https://huggingface.co */
	const char *token;	/* or NULL */
	const char *token_file; /* read when there is no token; or NULL */
};

struct hub *hub_new(const struct hub_settings *s) must_use;
/* For what begins from now on. */
void hub_change(struct hub *h, const struct hub_settings *s);
void hub_free(struct hub *h);

/* Is it a model of this kind? */
bool hub_has(const struct ref *ref);
/* As pull_registry_start(). `name` is what the person wrote, with its case,
 * which the hub may want; a `bearer` goes before the token of the settings. */
must_use int hub_start(struct hub *h, struct pull_set *pulls,
		       const struct ref *ref, struct str name,
		       const char *bearer, const struct pull_fns *fns,
		       void *ctx, struct pull **out, struct err *e);
