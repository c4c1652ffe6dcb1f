/* containers.h - which container has which address, out of what the Engine
 * tells. An address that two of them claim belongs to none. */
#pragma once
#include "base/err.h"
#include "base/json.h"

#include <netinet/in.h>

struct container {
	struct in6_addr address; /* IPv4 as ::ffff:1.2.3.4 */
	char id[65];
	char *name; /* owned; without the slash before it */
};

struct containers {
	struct container *all; /* owned; sorted by address */
	size_t n;
};

/* The answer to GET /containers/json: those that run. */
must_use int containers_read(const json_t *answer, struct containers *out,
			     struct err *e);
/* The answer to GET /networks/ID: those on this network, also such as are just
 * being started. */
must_use int containers_read_network(const json_t *answer,
				     struct containers *out, struct err *e);
void containers_fini(struct containers *c);
/* NULL: nobody has it, or more than one. Borrowed. */
const struct container *containers_find(const struct containers *c,
					const struct in6_addr *address);
/* An address as text, of either family; false if it is none. */
bool containers_parse(struct str text, struct in6_addr *out);
