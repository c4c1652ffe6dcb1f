/* doors.h - the listening sockets that modeld may not make itself: inside the
 * namespace, and at the gateway of docker0.
 *
 * They are made here and given away: whoever has the only copy is who serves,
 * so that connects are refused once it is gone. */
#pragma once
#include "base/err.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct ends;
struct setup;

enum doors_outcome { DOORS_ABSENT = 1 };

/* A namespace, to see whether it is still the same one. */
struct doors_place {
	dev_t dev;
	ino_t ino;
};

/* Which one has the name now? May give DOORS_ABSENT. */
must_use int doors_find(const struct setup *s, struct doors_place *out,
			struct err *e);
/* Port 80 of the inner end. fd6 is -1 where there is no IPv6. Both are the
 * caller's. May give DOORS_ABSENT: no namespace, or no address in it yet. */
must_use int doors_open(const struct setup *s, const struct ends *ends, int *fd,
			int *fd6, struct doors_place *place, struct err *e);
/* `ip` of this host, which may come later. */
must_use int doors_open_gateway(const char *ip, int port, int *fd,
				struct err *e);
