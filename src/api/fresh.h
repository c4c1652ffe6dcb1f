/* fresh.h - a request that may name a model is handled when the catalogue knows
 * of all changes to the store. After a change that takes a job, so that the
 * loop reads no index however many models there are. */
#pragma once
#include "api/api.h"

/* Calls the row's handler, now or when the job is over; not at all if the
 * client left meanwhile. */
void fresh_call(struct api *api, struct http_exchange *x,
		const struct route_match *m);
