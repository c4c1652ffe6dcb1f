/* dns_udp.h - answers questions by UDP, and passes on those that are not ours.
 *
 * Each question goes to the upstream server from a socket and with an id of its
 * own, both random, and only the answer that fits all of it is believed. The
 * same question from several clients goes out once, so asking often does not
 * help to guess, and a loop of servers that ask each other ends in itself. */
#pragma once
#include "docker/dns_priv.h"

struct dns_udp;

/* Takes the bound socket in every case. `core` is borrowed. */
must_use int dns_udp_new(struct dns_core *core, int fd, struct dns_udp **out,
			 struct err *e);
void dns_udp_free(struct dns_udp *u);
BASE_AUTO(dns_udp);
