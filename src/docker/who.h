/* who.h - asks which container has an address, and remembers.
 *
 * The Engine's list of running containers is kept until an event says that it
 * is old; it is read at most once in LIMIT_WHO_PACE_MS. For an address that is
 * not in it, or while it is old, the address's network is asked, one question
 * at a time: that knows also a container that is just being started, which may
 * call before it counts as running. What is said is no older than the
 * question. */
#pragma once
#include "docker/containers.h"

struct dockerd;
struct networks;
struct who;
struct uv_loop_s;

/* `networks` is borrowed, and may change. */
struct who *who_new(struct uv_loop_s *loop, struct dockerd *d,
		    const struct networks *networks);
/* What was asked gets no answer any more. */
void who_free(struct who *w);
BASE_AUTO(who);

/* `c` is NULL when it is no container's, or nobody can say; borrowed, as is the
 * address that was asked for. */
typedef void (*who_fn)(void *ctx, uint64_t id, const struct in6_addr *address,
		       const struct container *c);
/* Calls `fn` once, maybe inside this call. `ctx` must live until who_free() or
 * who_forget(). */
void who_ask(struct who *w, const struct in6_addr *address, who_fn fn,
	     void *ctx, uint64_t id);
/* Who asked with this `ctx` wants no answers any more. */
void who_forget(struct who *w, const void *ctx);
/* Containers or their addresses changed. */
void who_stale(struct who *w);
/* Can the Engine be asked? While not, nobody is known. */
void who_set_engine(struct who *w, bool is_there);
