/* lease.h - blobs that nobody may remove now, though no model has them yet: a
 * pull found them there, or has just fetched them, and will put its manifest
 * into the index.
 *
 * Within this process a deletion that meets a leased blob leaves it and marks
 * it; whoever gives back the last lease removes what no model needs then. Other
 * processes see leases as locks on bytes of a file, which the kernel takes back
 * from one that dies: they leave the blob, for a prune to find if it comes to
 * nothing. Any thread. */
#pragma once
#include "oci/digest.h"

#include <pthread.h>

struct folder;

struct lease_set {
	pthread_mutex_t lock;
	struct lease *all;
	size_t n, cap;
	struct folder *folder; /* where the file is; NULL: none */
	int fd;		       /* owned; of the file; -1: none yet */
};

/* Borrows the folder. Where the file cannot be made, leases hold within this
 * process. */
void lease_set_init(struct lease_set *l, struct folder *f);
void lease_set_fini(struct lease_set *l);
void lease_take(struct lease_set *l, const struct digest *d);
/* Gives it back; true: it was marked, and nobody else here holds it. */
bool lease_give(struct lease_set *l, const struct digest *d);
/* Is it held, here or in another process? Then it is marked. */
bool lease_mark(struct lease_set *l, const struct digest *d);
