/* schema.h - can all of a JSON schema be enforced while an answer is made?
 *
 * llama.cpp's grammars leave out without a word what they cannot express. Where
 * a request says "strict", an answer shall follow all of its schema or not be
 * begun: then each keyword must be one that the grammar keeps. Pure. */
#pragma once
#include "base/json.h"

/* -1 names the keyword, and where it stands; `field` is the request's. */
must_use int schema_check(const json_t *schema, const char *field,
			  struct err *e);
