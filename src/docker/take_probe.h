/* take_probe.h - does the front work? Asked over a connection that is kept, so
 * its end is noticed at once, and asked again each second, since it could hang.
 * The front alone answers (FRONT_PING): neither Engine nor modeld matters. */
#pragma once
#include "base/err.h"
#include "io/timer.h"

struct stream;

struct take_probe {
	struct uv_loop_s *loop;
	char *address; /* owned */
	/* An answer came; `is_new`: the first of a connection. */
	void (*on_alive)(void *ctx, bool is_new);
	/* None came for LIMIT_PROBE_MS; told once, asking goes on. */
	void (*on_dead)(void *ctx);
	void *ctx;
	struct stream *s; /* owned */
	struct timer ask, deadline;
	size_t got;	   /* bytes of the answer */
	bool has_answered; /* on this connection */
	bool is_dead;
};

void take_probe_init(struct take_probe *p, struct uv_loop_s *loop,
		     const char *path, void (*on_alive)(void *ctx, bool is_new),
		     void (*on_dead)(void *ctx), void *ctx);
void take_probe_fini(struct take_probe *p);
