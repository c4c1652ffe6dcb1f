/* lease.h - blobs that nobody may remove now, though no model has them yet: a
 * pull found them there, or has just fetched them, and will put its manifest
 * into the index. Within this process; between processes a pull looks again
 * before it is done.
 *
 * A deletion that meets a leased blob leaves it and marks it; whoever gives
 * back the last lease removes what no model needs then. Any thread. */
#pragma once
#include "oci/digest.h"

#include <pthread.h>

struct lease_set {
	pthread_mutex_t lock;
	struct lease *all;
	size_t n, cap;
};

void lease_set_init(struct lease_set *l);
void lease_set_fini(struct lease_set *l);
void lease_take(struct lease_set *l, const struct digest *d);
/* Gives it back; true: it was marked, and nobody else holds it. */
bool lease_give(struct lease_set *l, const struct digest *d);
/* Is it held? Then it is marked. */
bool lease_mark(struct lease_set *l, const struct digest *d);
