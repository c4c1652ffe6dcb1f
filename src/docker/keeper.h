/* keeper.h - keeps the way in for containers as it shall be while programs
 * run: its parts (net.h) when someone took one away, and its rules when
 * Docker's networks changed. Work that blocks is done on the thread pool, one
 * piece at a time. */
#pragma once
#include "docker/networks.h"

struct ends;
struct keeper;
struct setup;
struct uv_loop_s;

/* `on_change` comes after the namespace or its device may have changed. */
must_use int keeper_new(struct uv_loop_s *loop, const struct setup *s,
			const struct ends *ends, void (*on_change)(void *ctx),
			void *ctx, struct keeper **out, struct err *e);
/* No callback comes after; frees it once its work is done, in the loop. */
void keeper_free(struct keeper *k);
BASE_AUTO(keeper);
/* The rules shall be for these networks, which are copied. `target` is where
 * open internal networks get to, or NULL. */
void keeper_set(struct keeper *k, const struct networks *networks,
		const char *target);
