/* dns_source.h - who may ask: this host and the containers on its bridges.
 *
 * In the namespace of the container address every container looks like the
 * host's end of the cable. Elsewhere a source is good if it is an address of
 * this host, or on the link of one of its bridges. */
#pragma once
#include "docker/ends.h"

#include <stdbool.h>
#include <stdint.h>

struct ifaddrs;

struct dns_source {
	struct ends ends;
	struct ifaddrs *interfaces; /* owned; as of looked_ms */
	uint64_t looked_ms;
};

void dns_source_init(struct dns_source *s, const struct ends *ends);
void dns_source_fini(struct dns_source *s);
/* `now_ms` is timer_now_ms(). */
bool dns_source_may_ask(struct dns_source *s, const struct sockaddr *from,
			uint64_t now_ms);
