/* guard.h - our own firewall rules, in tables or chains of our own; nobody
 * else's are touched.
 *
 *   guard       only Docker's bridges and this host reach our addresses: guests
 *               that are NATed here would come with the host's own address
 *   masquerade  for Docker's networks, also those that Docker does not
 *               masquerade: the namespace knows no way back to them
 *   refuse      an internal network is told at once that it may not
 *   open        internal networks that the settings open: port 80 of their
 *               gateway is modeld's listener
 *
 * With nftables one transaction makes all of it; on a kernel without nftables
 * the programs iptables and ip6tables do. Blocks: for commands and jobs. */
#pragma once
#include "base/buf.h"
#include "docker/ends.h"
#include "docker/networks.h"

/* The name of our table, of family inet. */
#define GUARD_TABLE "modeld"

struct guard_rules {
	const struct ends *ends;
	const char *device;
	/* NULL: what they need stays as it is. */
	const struct networks *networks;
	/* Where open internal networks get to ("172.17.0.1:12434"), or NULL. */
	const char *target;
};

must_use int guard_put(const struct guard_rules *r, struct err *e);
/* 0 too if there are none. */
must_use int guard_remove(struct err *e);

/* The same as text: nftables' commands, and what iptables-restore reads (one
 * for each family). */
void guard_text(const struct guard_rules *r, struct buf *out);
