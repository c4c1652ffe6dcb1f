/* schema.h - can all of a JSON schema be enforced while an answer is made?
 *
 * llama.cpp's grammars leave out without a word what they cannot express. Where
 * a request says "strict", an answer shall follow all of its schema or not be
 * begun: then each keyword must be one that the grammar keeps. Pure. */
#pragma once
#include "base/json.h"

/* How much there is for a grammar to try at each token; begins as {0}. */
struct schema_weight {
	size_t members, choices;
	size_t optional; /* of the object that has most of them */
	size_t name;	 /* bytes of the longest one */
};

/* Adds what the schema has, strict or not. -1: the ceilings are passed. */
must_use int schema_weigh(const json_t *schema, const char *field,
			  struct schema_weight *w, struct err *e);
/* -1 names the keyword, and where it stands; `field` is the request's. */
must_use int schema_check(const json_t *schema, const char *field,
			  struct err *e);
/* Changes what llama.cpp would take wrongly into what it takes: patterns
 * (pattern.h), bounds of integers beyond its numbers. A pattern that cannot be
 * kept to is left out, or refused if `strict`. -1 also where no value would do
 * (a minimum above the maximum): llama.cpp then counts on, until the memory
 * ends. */
must_use int schema_fit(json_t *schema, bool strict, const char *field,
			struct err *e);
/* Which keywords hold members by their names, each a schema; and which hold
 * values and notes, and no schema. Pure. */
bool schema_holds_members(const char *keyword);
bool schema_holds_values(const char *keyword);
/* Calls fn with each schema that lies directly in this one, or in a list, until
 * it gives -1: all but values, since a reference may name any place; where
 * nobody knows what an object is, it is taken for a schema. */
typedef int (*schema_each_fn)(void *ctx, json_t *s);
must_use int schema_each(json_t *s, schema_each_fn fn, void *ctx);
