/* store_priv.h - what those files need of a store that work on its folder:
 * where things lie, and how a change is made. */
#pragma once
#include "oci/index.h"

struct folder;
struct store;

#define STORE_BLOBS "blobs/sha256"
#define STORE_MANIFESTS "manifests/sha256"
#define STORE_BUNDLES "bundles/sha256"

struct folder *store_folder(struct store *s);
/* Takes the lock, which closing *locked gives back, and reads the index. */
must_use int store_begin(struct store *s, int *locked, struct index **x,
			 struct err *e);
must_use int store_save(struct store *s, const struct index *x, struct err *e);
/* Does somebody count on this blob? One in this process then removes it, if no
 * model has it, when it is done. */
bool store_is_leased(struct store *s, const struct digest *d);
