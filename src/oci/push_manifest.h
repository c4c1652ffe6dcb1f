/* push_manifest.h - the last thing of a push: the manifest gets its name in the
 * registry, unless it has it already. Done means that the registry says that it
 * has these very bytes. */
#pragma once
#include "oci/manifest.h"
#include "oci/registry.h"

struct push_manifest;

struct push_manifest_config {
	struct registry *registry; /* held */
	const char *name;	   /* tag, or "sha256:..."; copied */
	struct digest digest;
	struct str text; /* outlives it */
};

enum push_manifest_outcome {
	PUSH_MANIFEST_REFUSED = 1, /* it may miss a blob; *e has its words */
};

/* Exactly once, the last. */
typedef void (*push_manifest_fn)(void *ctx, int outcome, const struct err *e);

/* `fn` never comes before this returns. */
struct push_manifest *push_manifest_start(const struct push_manifest_config *c,
					  push_manifest_fn fn,
					  void *ctx) must_use;
/* No callback comes after. */
void push_manifest_cancel(struct push_manifest *m);
