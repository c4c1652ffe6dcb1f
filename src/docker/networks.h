/* networks.h - Docker's bridge networks, out of the answer to GET /networks.
 *
 * What the Engine's users chose (names, bridge names, subnets) is checked: a
 * network with a bridge name or subnet that is none is left out of what it
 * would spoil. Networks of other drivers are left out whole. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"

#include <net/if.h>
#include <netinet/in.h>

struct setup;

/* A gateway that the Engine does not tell (of docker0, at times) is the address
 * of the network's device. */
struct network_subnet {
	char cidr[INET6_ADDRSTRLEN + 4]; /* "172.17.0.0/16" */
	char gateway[INET6_ADDRSTRLEN];	 /* or "": it has none */
	bool is_ipv6;
	struct in6_addr base; /* IPv4 as ::ffff:1.2.3.4, */
	unsigned prefix;      /* and 96 more of it */
};

struct network {
	char *name; /* owned */
	char id[65];
	char bridge[IF_NAMESIZE]; /* its device */
	bool is_default;	  /* docker0's, whatever that is called */
	bool is_internal;
	bool is_open; /* internal, and the settings open it to us */
	size_t n_subnets;
	struct network_subnet subnets[LIMIT_NETWORK_SUBNETS];
};

struct networks {
	struct network *all; /* owned; sorted by id */
	size_t n;
};

must_use int networks_read(const json_t *answer, const struct setup *s,
			   struct networks *out, struct err *e);
void networks_fini(struct networks *n);
void networks_copy(const struct networks *n, struct networks *out);
bool networks_equal(const struct networks *a, const struct networks *b);
/* The default bridge, or NULL. */
const struct network *networks_default(const struct networks *n);
/* The one that an address (IPv4 as above) is in, or NULL. */
const struct network *networks_find(const struct networks *n,
				    const struct in6_addr *address);
/* Its gateway for IPv4, or "". */
const char *networks_gateway(const struct network *n);
/* May an internal network of this name reach us, by the settings? */
bool networks_is_open(const struct setup *s, const char *name);
