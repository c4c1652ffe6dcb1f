/* artifact.h - a model artifact in the making: its layers are put into the
 * manifest, its config is written, and then it is sealed: both are bytes with
 * digests, and the id is known. Pure. */
#pragma once
#include "oci/manifest.h"

struct artifact {
	struct manifest m; /* its arena owns the texts of the layers */
	struct buf config; /* the config blob */
	struct buf text;   /* of the manifest, once sealed */
	struct digest id;  /* the same */
};

void artifact_init(struct artifact *a);
void artifact_fini(struct artifact *a);

/* One entry for each layer, in order, in the manifest's arena. */
struct digest *artifact_diff_ids(struct artifact *a) must_use;
/* `config_type` is a literal. */
must_use int artifact_seal(struct artifact *a, const char *config_type,
			   struct err *e);
