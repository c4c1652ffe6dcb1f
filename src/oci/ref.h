/* ref.h - what a person may write to name a model, made exact.
 *
 *   smollm2                  docker.io/ai/smollm2:latest
 *   hf.co/Org/Repo:Q4_K_M    huggingface.co/org/repo:Q4_K_M
 *   hf.co/Org/Repo@v1.0:Q8   huggingface.co/org/repo:Q8--v1.0, also written
 *                            hf.co/Org/Repo:Q8@v1.0: of that revision
 *   5a96dbf73cc2             a model id, cut to 12 digits
 *   sha256:<64 hex>, <64 hex>, NAME@sha256:<64 hex>      a model id
 *
 * Registry and repository are lower-cased, the tag keeps its case; the rest of
 * the grammar is that of OCI references. Pure, never allocates. */
#pragma once
#include "base/limits.h"
#include "oci/digest.h"

enum ref_kind {
	REF_NAME,     /* registry, repository, tag */
	REF_ID,	      /* digest; with NAME@ in front the names too */
	REF_SHORT_ID, /* short_id */
};

/* Together at most 255 bytes, as registries have it; a tag at most 128. */
#define REF_PATH_BYTES 256
#define REF_TAG_BYTES 129
#define REF_TEXT_BYTES (2 * REF_PATH_BYTES + REF_TAG_BYTES)

/* A plain value; what the kind does not set is "". */
struct ref {
	enum ref_kind kind;
	char registry[REF_PATH_BYTES];
	char repository[REF_PATH_BYTES];
	char tag[REF_TAG_BYTES];
	char short_id[13];
	struct digest digest;
};

/* `default_registry` (NULL: docker.io) is for names that have none. Fails with
 * ERR_INVALID and words for the person who typed it. */
must_use int ref_parse(struct str text, const char *default_registry,
		       struct ref *out, struct err *e);

/* "registry/repository:tag", as stored; gives `out` back. The reference must
 * have names: be a REF_NAME, or a REF_ID with NAME@. */
const char *ref_text(const struct ref *r, char out[REF_TEXT_BYTES]);

/* The part of a stored name that people read: without the default registry,
 * without "ai/", without ":latest". Borrowed from `text`. */
struct str ref_familiar(struct str text, const char *default_registry);
