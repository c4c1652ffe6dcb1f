/* turns.h - so many pulls (or pushes) at one time; the others wait, first come,
 * first served, and are told so from time to time. */
#pragma once
#include "base/list.h"
#include "io/timer.h"

struct turns {
	struct uv_loop_s *loop;
	int max;
	int n_running;
	bool is_stopped;
	struct list running, waiting; /* turn.link */
};

void turns_init(struct turns *t, struct uv_loop_s *loop, int max);
/* No more begin; `end` is called for all that have not gone (turns_drop). */
void turns_stop(struct turns *t, void (*end)(void *ctx));

struct turn_fns {
	/* It waits for so many others. Comes again from time to time. */
	void (*on_wait)(void *ctx, int others);
	/* Once; it has a place. */
	void (*on_begin)(void *ctx);
};

/* Embedded in who waits. */
struct turn {
	struct turns *turns;
	const struct turn_fns *fns;
	void *ctx;
	struct timer timer;
	struct list link;
	bool is_running;
};

/* Callbacks never come before this returns. */
void turns_join(struct turn *t, struct turns *turns, const struct turn_fns *fns,
		void *ctx);
/* Gives up its place, or its waiting for one; no callback comes after. */
void turns_leave(struct turn *t);
/* After turns_leave(). */
void turns_drop(struct turn *t);
