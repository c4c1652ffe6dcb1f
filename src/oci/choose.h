/* choose.h - which manifest of an image index is the model. Pure. */
#pragma once
#include "base/err.h"
#include "oci/digest.h"

#define CHOOSE_INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define CHOOSE_LIST_TYPE \
	"application/vnd.docker.distribution.manifest.list.v2+json"

/* Is this text an index, by its own word or by what the registry called it? */
bool choose_is_index(struct str text, const char *media_type);
/* The only manifest in it, or the only one that says it is a model's.
 * ERR_UNSUPPORTED, in words, if that leaves none or several. */
must_use int choose_manifest(struct str text, struct digest *out,
			     struct err *e);
