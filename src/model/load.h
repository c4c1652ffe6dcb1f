/* load.h - takes a model into the store from a tar that comes in pieces (the
 * body of POST /models/load): Docker Model Runner's form, or an OCI image
 * layout.
 *
 * Every blob is checked against the digest in its name before it gets that
 * name; the model appears in the index, without tags, only when all is right.
 * A load that fails or is given up leaves at most whole, verified blobs. What
 * came is leased until the load is freed, so that nobody removes it before the
 * model has it. One thread at a time per load; all but load_new() blocks on the
 * disk (the piece that ends a blob waits until it is synced): call it from a
 * job. */
#pragma once
#include "oci/store.h"

struct load;

/* Borrows the store. */
struct load *load_new(struct store *s) must_use;
void load_free(struct load *l);
BASE_AUTO(load);

must_use int load_feed(struct load *l, struct str bytes, struct err *e);
/* After the last piece. */
must_use int load_end(struct load *l, struct digest *out_id, struct err *e);
