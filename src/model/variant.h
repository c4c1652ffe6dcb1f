/* variant.h - an artifact made of another: the layers are shared, some are
 * added, and the config says something else. */
#pragma once
#include "model/artifact.h"
#include "model/parts.h"

enum variant_form { VARIANT_AS_IT_IS, VARIANT_DOCKER, VARIANT_CNCF };

struct variant_change {
	enum variant_form form;
	int64_t context_size;	   /* 0: as it is */
	const struct parts *added; /* or NULL */
};

/* `out` is initialised and the caller's in both cases; the layers of `added`
 * are its last ones. A chat template or projector that is added takes the place
 * of the one there was. `created` and what we do not know of the config stay.
 *
 * A context size makes Docker's form of a CNCF model, which has no place for
 * it; ERR_UNSUPPORTED if CNCF's is asked for too. */
must_use int variant_make(struct str manifest, struct str config,
			  const struct variant_change *c, struct artifact *out,
			  struct err *e);
