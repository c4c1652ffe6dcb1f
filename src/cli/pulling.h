/* pulling.h - asks the server to pull a model, shows how far it is, and asks
 * again when the connection breaks: the server goes on where it was. */
#pragma once
#include "cli/call.h"

#include <stdio.h>

/* What is shown goes to `out`. */
must_use int pulling_run(struct call *c, const char *model, FILE *out,
			 struct err *e);
