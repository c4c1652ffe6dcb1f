/* conntrack.h - who a masqueraded connection really comes from, as the kernel's
 * connection tracking remembers it.
 *
 * One question for one connection, by the addresses of the answering direction;
 * the table is never read. The kernel answers inside the system call, so it may
 * be asked in a loop. */
#pragma once
#include "base/err.h"

#include <sys/socket.h>

struct conntrack;

/* Of the network namespace that the caller is in. */
must_use int conntrack_open(struct conntrack **out, struct err *e);
void conntrack_free(struct conntrack *c);
BASE_AUTO(conntrack);

enum conntrack_outcome { CONNTRACK_ABSENT = 1 };

/* The first source of the TCP connection that `local` sees as coming from
 * `peer`; both of one family. May give CONNTRACK_ABSENT. */
must_use int conntrack_find(struct conntrack *c, const struct sockaddr *peer,
			    const struct sockaddr *local,
			    struct sockaddr_storage *source, struct err *e);
