/* verify.h - reads a whole store again and compares it with its digests.
 *
 * The plan is what the models need and what else lies among the blobs; each
 * step hashes a file, or LIMIT_VERIFY_STEP_BYTES of it, and blocks for that
 * long: for jobs, one at a time. */
#pragma once
#include "oci/store.h"

struct verify;

enum verify_outcome { VERIFY_BAD = 1, VERIFY_END, VERIFY_MORE };

struct verify_step {
	struct digest digest;
	uint64_t bytes;	  /* that were read */
	char problem[96]; /* of VERIFY_BAD: "it is missing", ... */
};

must_use int verify_new(struct store *s, struct verify **out, struct err *e);
void verify_free(struct verify *v);
BASE_AUTO(verify);

/* 0: the next file is as it should be; VERIFY_BAD: it is not, out->problem
 * says why; VERIFY_MORE: the file goes on; VERIFY_END: there are no more. */
must_use int verify_next(struct verify *v, struct verify_step *out);
/* How many files there are to read. */
size_t verify_count(const struct verify *v);
