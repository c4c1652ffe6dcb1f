/* card.h - what a model's own files, manifest and config, say of it. Any
 * thread; reads two small files. */
#pragma once
#include "model/catalog.h"

/* Fills in all but the tags; texts lie in the arena. */
must_use int card_read(struct store *s, const struct digest *id,
		       struct arena *a, struct catalog_model *out,
		       struct err *e);
