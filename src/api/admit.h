/* admit.h - may this request go on? The key that it shows, its class, its
 * limits; and the answer to one that may not. */
#pragma once
#include "api/api.h"

struct key;

/* What a request was admitted with. */
struct admit {
	struct key *key;  /* held; NULL: none was needed */
	unsigned classes; /* that its caller may call */
	bool is_counted;  /* towards the key's limits */
};

/* For a row of class `c`; 0 is a path that is nobody's, which anybody may learn
 * who may learn anything. False: it was answered. */
must_use bool admit_request(struct api *api, struct http_exchange *x,
			    enum access_class c, struct admit *out);
/* The request is over. */
void admit_end(struct admit *a);
