/* push_kept.h - uploads that were left in the middle: the registry still has
 * what it got, and the next push of the same blob goes on there. The newest
 * few, in memory. */
#pragma once
#include "base/list.h"
#include "io/weburl.h"
#include "oci/digest.h"

struct push_kept {
	struct list all; /* newest first */
	size_t n;
};

void push_kept_init(struct push_kept *k);
void push_kept_fini(struct push_kept *k);
/* Remembers where the upload of this blob goes on; `place` is registry and
 * repository. */
void push_kept_put(struct push_kept *k, const char *place,
		   const struct digest *d, const struct weburl *at);
/* Gives it out, to one only; false: there is none. */
bool push_kept_take(struct push_kept *k, const char *place,
		    const struct digest *d, struct weburl *out);
