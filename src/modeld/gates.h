/* gates.h - listening sockets that modeld-docker made where modeld itself may
 * not: in the containers' namespace, and on the gateway of docker0.
 *
 * They come one by one and go all at once; answers under way on them finish. A
 * connection to the gateway's address is closed unless it came from this
 * machine or by one of the bridges: else other machines could route to it. */
#pragma once
#include "api/caller.h"
#include "base/list.h"
#include "modeld/ways.h"

struct gates {
	struct ways *ways;  /* borrowed; their server, loop and list of URLs */
	struct list open;   /* gate.link, owned */
	struct list closed; /* gate.link: their last streams may live on */
	size_t n_open;
	char **bridges; /* owned, each and the array, which NULL ends */
	/* Someone came; is told before his first request. */
	void (*on_visit)(void *ctx, struct caller *c,
			 const struct peer_ends *ends);
	void *ctx;
};

void gates_init(struct gates *g, struct ways *w);
/* Takes a listening socket in any case. -1: it is none that fits this door. */
must_use int gates_add(struct gates *g, enum access_way door, int fd,
		       struct err *e);
/* Interfaces by which connections to the gateway may come: an array of names.
 * -1: it is something else. */
must_use int gates_set_bridges(struct gates *g, const json_t *names,
			       struct err *e);
/* Nobody can connect any more. */
void gates_close(struct gates *g);
/* After the server was freed: its streams know their listener. */
void gates_fini(struct gates *g);
