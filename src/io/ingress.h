/* ingress.h - by which interface did a connection come?
 *
 * A listener on an address of this machine is reached by whatever packet finds
 * its way here, also from another machine that routes through us (the weak host
 * model). Who wants connections of certain interfaces only asks of each one;
 * the listener must have had IP_PKTINFO set before listen(). IPv4. */
#pragma once
#include "base/err.h"
#include <net/if.h>

struct stream;

/* Copies the name of the interface that the connection's SYN came by. */
must_use int ingress_name(struct stream *s, char out[IF_NAMESIZE],
			  struct err *e);
/* Does this interface own the address that the connection came to? Then it may
 * be this machine's own, which comes by the owner of the address. */
bool ingress_owns(struct stream *s, const char *name);
