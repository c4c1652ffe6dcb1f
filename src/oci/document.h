/* document.h - a small thing of a registry as a whole: a manifest, an index, a
 * config. Bounded, checked against its digest, asked for again when what went
 * wrong may pass, and of the next place when a mirror does not have it. */
#pragma once
#include "base/buf.h"
#include "oci/fetch.h"

struct document;

struct document_request {
	bool is_head;
	const char *path; /* as in fetch.h */
	const char *accept;
	const char *field; /* a field of the answer to tell, or NULL */
	size_t max_bytes;
	/* What it must be; NULL: whatever it is, as long as it is what the
	 * registry itself says (Docker-Content-Digest). */
	const struct digest *digest;
};

struct document_answer {
	struct str body;      /* borrowed for the call */
	struct digest digest; /* of the body; of a HEAD what was said, or "" */
	char media_type[128]; /* without parameters, "" if not said */
	struct str field;     /* as `body`; "" if not said */
};

/* Exactly once; `a` only when outcome is 0. Codes as in fetch.h; ERR_CORRUPT:
 * it is not what it should be. */
typedef void (*document_fn)(void *ctx, int outcome,
			    const struct document_answer *a,
			    const struct err *e);

struct document *document_get(struct registry *r,
			      const struct document_request *q, document_fn fn,
			      void *ctx) must_use;
void document_cancel(struct document *d);
