/* netwatch.h - tells when the kernel changed something of the way in: our
 * device, its addresses, the routes to modeld's address, our firewall table. */
#pragma once
#include "base/err.h"

struct ends;
struct netwatch;
struct setup;
struct uv_loop_s;

/* `fn` comes once for a burst of changes. All is borrowed until the end. */
must_use int netwatch_new(struct uv_loop_s *loop, const struct setup *s,
			  const struct ends *ends, void (*fn)(void *ctx),
			  void *ctx, struct netwatch **out, struct err *e);
void netwatch_free(struct netwatch *w);
BASE_AUTO(netwatch);
