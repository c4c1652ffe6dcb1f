/* front_conn.h - the front's connections: one client each, with one to Docker
 * Engine and one to modeld, opened when they are first needed.
 *
 * front_relay.h says where bytes go; this file moves them. Nothing is timed:
 * a connection may be silent for days. What is not read presses back to its
 * source; who sends FIN is passed on, and who is gone ends the other side. */
#pragma once
#include "docker/setup.h"
#include "io/hangup.h"
#include "io/listener.h"
#include "base/list.h"

/* After the Engine's other name: a link to the front's socket that has Docker's
 * name (take_name.h). */
#define FRONT_MARK ".front"

struct front {
	struct uv_loop_s *loop;
	const struct setup *setup;
	struct hangup_set *hangups;
	struct listener *listener;
	struct list conns; /* front_conn.link */
	bool is_down[2];   /* the worlds, as last seen; front_world */
	bool is_stopping;
	void (*on_none)(struct front *f); /* stopping, and the last has gone */
};

/* For listener_fd(); ctx is the front. `s` becomes the callee's. */
void front_conn_accept(void *ctx, struct stream *s);
/* Ends those that nobody waits on; the others end after the answer that is
 * under way. Pipes go on. */
void front_conn_drain(struct front *f);
void front_conn_end_all(struct front *f);
