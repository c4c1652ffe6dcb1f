/* who.h - asks which container has an address, and remembers.
 *
 * The Engine's list of containers is kept until an event says that it is old,
 * and read again for an address that is not in it; never more than once in
 * LIMIT_WHO_PACE_MS. What is said is never older than the last event. */
#pragma once
#include "docker/containers.h"

struct dockerd;
struct who;
struct uv_loop_s;

struct who *who_new(struct uv_loop_s *loop, struct dockerd *d);
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
