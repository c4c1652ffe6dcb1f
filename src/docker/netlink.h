/* netlink.h - links, addresses and routes of one network namespace, as much as
 * the way in for containers needs: what is wanted is told, and made so.
 *
 * Every call is a short talk with the kernel on this machine; for one-shot
 * commands and jobs. */
#pragma once
#include "base/err.h"

#include <net/if.h>
#include <stddef.h>

struct netlink;

/* Of the namespace that the calling thread is in now; works on from any. */
must_use int netlink_open(struct netlink **out, struct err *e);
void netlink_free(struct netlink *n);
BASE_AUTO(netlink);

enum netlink_outcome { NETLINK_ABSENT = 1 };

struct netlink_link {
	int index;
	int peer; /* index of a veth's other end, in its namespace */
	bool is_veth, is_up;
	unsigned char mac[6];
};

/* May give NETLINK_ABSENT. */
must_use int netlink_find_link(struct netlink *n, const char *name,
			       struct netlink_link *out, struct err *e);
/* A veth from `name` here to `inner` in the namespace `ns`; the addresses are
 * how both are known again. */
must_use int netlink_add_veth(struct netlink *n, const char *name,
			      const unsigned char mac[6], const char *inner,
			      const unsigned char inner_mac[6], int ns,
			      struct err *e);
/* 0 too if it is not there. */
must_use int netlink_delete_link(struct netlink *n, int index, struct err *e);
/* Is a device on here, but for the loopback? */
bool netlink_is_used(struct netlink *n);
must_use int netlink_set_up(struct netlink *n, int index, struct err *e);

struct netlink_addr {
	int family; /* AF_UNSPEC: none */
	int prefix;
	unsigned char bytes[16];
};

/* An address or a route to it that is someone else's: on a device that is not
 * `index`. NETLINK_ABSENT: nobody's; 0: `device` has it. */
must_use int netlink_find_user(struct netlink *n, const struct netlink_addr *a,
			       int index, char device[IF_NAMESIZE],
			       struct err *e);
/* These and no others (but link-local ones) on the device. */
must_use int netlink_keep_addresses(struct netlink *n, int index,
				    const struct netlink_addr *wanted,
				    size_t count, struct err *e);

struct netlink_route {
	struct netlink_addr to;
	unsigned metric;
	int index; /* 0: packets are answered with "unreachable" */
	struct netlink_addr src;
};

must_use int netlink_add_routes(struct netlink *n,
				const struct netlink_route *wanted,
				size_t count, struct err *e);
/* These and no others of those that netlink_keep_routes() ever made here (they
 * have a protocol number of their own). */
must_use int netlink_keep_routes(struct netlink *n,
				 const struct netlink_route *wanted,
				 size_t count, struct err *e);
/* Takes away whatever leads out of this namespace by default. */
must_use int netlink_drop_default(struct netlink *n, struct err *e);
