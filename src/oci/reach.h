/* reach.h - where a registry may send us. The person named the registry, so it
 * may be anywhere; but a redirect or a token realm is the registry's word, and
 * must not become a way into the machine or its network:
 *
 *   - any public address;
 *   - the address of the registry itself, on any port;
 *   - its own name, as long as that leads to the same kind of place;
 *   - the private network, if the registry is in it;
 *   - never from https to http.
 *
 * Decided on the address that was connected to, since names can lie. Pure. */
#pragma once
#include "io/netaddr.h"
#include "io/weburl.h"

struct reach {
	char host[WEBURL_HOST_BYTES]; /* of the registry */
	bool has_home;		      /* its address is known */
	struct netaddr home;
};

/* The registry's address, when it was first reached; later ones change
 * nothing, so that a name that changes its mind gains nothing. */
void reach_settle(struct reach *r, const struct netaddr *a);
/* May `host`, which was reached at `a`, be talked to? `is_named`: it is the URL
 * that the person gave, no redirect or realm. */
bool reach_allows(const struct reach *r, const char *host, bool is_named,
		  const struct netaddr *a);
/* What can be said of a redirect or realm before anybody connects.
 * ERR_FORBIDDEN
 */
must_use int reach_check(const struct reach *r, const struct weburl *from,
			 const struct weburl *to, struct err *e);
