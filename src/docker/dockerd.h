/* dockerd.h - asks Docker Engine, and follows what happens in it.
 *
 * Over the Engine's Unix socket, wherever that lies at the moment of asking (it
 * moves when the front takes its name). Paths carry no version, so every Engine
 * answers. An Engine that systemd would start for us is not woken: while none
 * runs, a question fails and a follower waits. */
#pragma once
#include "base/err.h"
#include "base/json.h"

struct dockerd;
struct setup;
struct uv_loop_s;

/* `s` is borrowed until dockerd_free(). */
struct dockerd *dockerd_new(struct uv_loop_s *loop, const struct setup *s);
/* What is under way ends without a callback. */
void dockerd_free(struct dockerd *d);
BASE_AUTO(dockerd);

/* 0 with the answer, borrowed for the call; or -1 with *e: ERR_REFUSED when no
 * Engine runs, ERR_NOT_FOUND for its 404, another code for all else. Exactly
 * once, never before dockerd_get() returned; may call dockerd_free(). */
typedef void (*dockerd_fn)(void *ctx, int outcome, const json_t *answer,
			   const struct err *e);
/* GET `path` ("/networks"). */
void dockerd_get(struct dockerd *d, const char *path, dockerd_fn fn, void *ctx);

/* None of these may call dockerd_free(). */
struct dockerd_follow_fns {
	/* Connected, the first time or again: events may have been missed, so
	 * look at everything anew. */
	void (*on_look)(void *ctx);
	/* One event as GET /events gives it ("Type", "Action", "Actor"),
	 * borrowed. Some may come twice. */
	void (*on_event)(void *ctx, const json_t *event);
	/* The Engine went away, or has not been there from the start; told once
	 * until the next on_look. May be NULL. */
	void (*on_lost)(void *ctx, const struct err *e);
};
/* Follows GET /events for ever. `filters` is the JSON of its parameter of that
 * name, as {"type":["network"]}, or NULL. */
void dockerd_follow(struct dockerd *d, const char *filters,
		    const struct dockerd_follow_fns *fns, void *ctx);
