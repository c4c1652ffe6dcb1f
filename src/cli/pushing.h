/* pushing.h - asks the server to push a model to the registry in its name; as
 * pulling.h. */
#pragma once
#include "cli/call.h"

#include <stdio.h>

/* What is shown goes to `out`. */
must_use int pushing_run(struct call *c, const char *model, FILE *out,
			 struct err *e);
