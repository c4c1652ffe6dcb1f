/* moving.h - asks the server to get a model from elsewhere or to bring it
 * there, shows how far it is, and asks again when the connection breaks: the
 * server goes on where it was. */
#pragma once
#include "cli/call.h"

#include <stdio.h>

struct moving {
	const char *path;
	struct str body;
	const char *noun; /* "download" */
};

/* What is shown goes to `out`. */
must_use int moving_run(struct call *c, const struct moving *m, FILE *out,
			struct err *e);
