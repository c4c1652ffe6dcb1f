/* basis.h - the model that another is made of: its manifest and its config,
 * from the server. */
#pragma once
#include "cli/call.h"

struct basis {
	struct buf manifest, config;
};

/* Pulls the model if it is not here. Fini it in both cases. */
must_use int basis_get(struct call *c, const char *model, struct basis *out,
		       struct err *e);
/* Only makes sure that it is here. */
must_use int basis_fetch(struct call *c, const char *model, struct err *e);
void basis_fini(struct basis *b);
