/* schema_refs.h - references ("$ref") of a JSON schema, as llama.cpp needs
 * them.
 *
 * It knows none to the whole ("#") and no escapes, and makes one rule of all
 * definitions whose names differ only in signs, also of those of a request's
 * other tools. So what is referred to moves to "$defs", by a name that no other
 * schema of the request has. What the schema says stays the same. Pure. */
#pragma once
#include "base/json.h"

/* `made` counts definitions through all schemas of a request. -1: a reference
 * leads nowhere, or to what is no schema. */
must_use int schema_refs_move(json_t *schema, size_t *made, const char *field,
			      struct err *e);
