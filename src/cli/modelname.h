/* modelname.h - model names as a person types and reads them: `smollm2` for
 * what the server stores as `docker.io/ai/smollm2:latest`.
 *
 * Pure but for the variable DEFAULT_REGISTRY, which stands for docker.io. */
#pragma once
#include "oci/ref.h"

/* Without the parts that are the default: registry, "ai/", ":latest". Points
 * into `name`. */
struct str modelname_short(struct str name);
/* The twelve digits that stand for an id ("sha256:..."). */
struct str modelname_short_id(struct str id);
/* Does the stored name answer to what was typed? Without a tag, every tag of
 * that repository does. */
bool modelname_matches(struct str stored, struct str typed);
/* Is what was typed this id, or its first 12 digits? */
bool modelname_matches_id(struct str id, struct str typed);
/* A name to give to a model: an id is refused. */
must_use int modelname_parse(const char *typed, struct ref *out, struct err *e);
/* The order of `list`: by repository, then by tag, without case; no name comes
 * first. */
int modelname_compare(struct str a, struct str b);
