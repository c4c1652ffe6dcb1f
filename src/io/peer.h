/* peer.h - the two ends of a TCP connection, and whose the other one is.
 *
 * For a connection within this machine the kernel tells which user opened the
 * other end's socket (sock_diag(7)): exactly this connection is asked for, no
 * privilege is needed, and nothing waits. Of a connection from elsewhere, also
 * from a container, it knows nothing. */
#pragma once
#include "base/err.h"
#include <stdint.h>

struct stream;

struct peer_end {
	uint8_t ip[16]; /* of IPv4 the first four */
	uint16_t port;
};

struct peer_ends {
	int family; /* AF_INET, AF_INET6; 0: this is no TCP connection */
	unsigned scope;
	struct peer_end ours, theirs;
};

void peer_of(struct stream *s, struct peer_ends *out);
/* "127.0.0.1:80", "[::1]:80"; "" without a family. */
#define PEER_TEXT_BYTES 64
void peer_text(const struct peer_ends *p, const struct peer_end *end,
	       char out[PEER_TEXT_BYTES]);

enum peer_outcome { PEER_UNKNOWN = 1 };

/* The user of the other end. PEER_UNKNOWN: it is not of this machine (of this
 * network namespace), or was closed already. */
must_use int peer_find_uid(const struct peer_ends *p, unsigned *uid,
			   struct err *e);
