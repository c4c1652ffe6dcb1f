/* net.h - the way in for containers: a network namespace with modeld's address,
 * a veth to it, routes, and the firewall rules of guard.h.
 *
 *   host: modeld0  169.254.255.80/31 ---- eth0 169.254.255.81/31  :namespace
 *
 * The namespace has no default route, so nobody whose packets are not from
 * this host's own address gets an answer. Two routes lead to the address: over
 * the device, and a second-best one that says "unreachable"; so with the cable
 * gone no request for us leaves this machine by its default route. What is made
 * here is known again (by its names, the device's hardware address, the routes'
 * protocol number); everything that looks like ours but is not is an error that
 * says so. */
#pragma once
#include "base/err.h"

struct networks;
struct setup;

/* modeld-docker net up|down. */
must_use int net_command(const struct setup *s, struct err *e);
/* Makes it all so, whatever was there of it; blocks. */
must_use int net_up(const struct setup *s, struct err *e);
/* Takes it all away; fine when there is nothing. The unreachable route goes
 * last: the lines in hosts files must be gone by then. */
must_use int net_down(const struct setup *s, struct err *e);

enum net_outcome { NET_ABSENT = 1 };

/* Makes good what the kernel or others took away from a net that is up
 * (routes, addresses, rules), and writes the rules for these networks (NULL:
 * those that were told last; `target` as in guard.h); blocks. NET_ABSENT: it is
 * not up, and stays so. */
must_use int net_repair(const struct setup *s, const struct networks *networks,
			const char *target, struct err *e);
