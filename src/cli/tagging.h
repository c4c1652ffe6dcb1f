/* tagging.h - gives a model of the server a name. */
#pragma once
#include "cli/call.h"
#include "oci/ref.h"

/* `model` is any name or id that the server knows. */
must_use int tagging_tag(struct call *c, const char *model,
			 const struct ref *name, struct err *e);
