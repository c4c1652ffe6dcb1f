/* brake.h - bulk work gives way to answers. An engine's threads meet at a
 * barrier hundreds of times a token, and the slowest sets the pace: a pull that
 * takes a core for a moment, by its own work or by what it makes the kernel and
 * a registry on this machine do, holds all of them up, however low its
 * priority.
 *
 * So while a request is with an engine of ours, from its asking (a load is part
 * of the wait) to the end of its answer (the last token meets the same barriers
 * as the first), bulk work stands still between two pieces. Its buffers fill,
 * then its sockets, and who sends stops too. What comes from far is not slower
 * for it: the kernel takes it meanwhile.
 *
 * It has its share all the same: after `hold_ms` a window opens for
 * `window_ms`, whoever asks; and time in which nobody asks pays for time in
 * which it was held, at the same rate. While no request is there the brake
 * costs an uncontended lock a piece. */
#pragma once
#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct brake;

/* Their product is below 10^13. */
struct brake *brake_new(uint64_t hold_ms, uint64_t window_ms) must_use;
/* Nobody waits at it. */
void brake_free(struct brake *b);

/* A request comes to an engine, and is over. Any thread; no-ops for NULL. */
void brake_press(struct brake *b);
void brake_release(struct brake *b);
/* Bulk work, before each piece, on a thread that may wait: comes back when it
 * may go on. At once for NULL. */
void brake_pass(struct brake *b);

struct brake_facts {
	bool is_held;	  /* who passes now must wait */
	uint64_t windows; /* so far */
	uint64_t waits;	  /* pieces that had to wait */
};
struct brake_facts brake_facts(struct brake *b);

/* ---- how the time is shared: pure; `now` is in nanoseconds ---- */

struct brake_share {
	uint64_t hold_ms, window_ms;
	uint64_t at_ns;	  /* of what follows */
	uint64_t owed_ns; /* held for so long, and not paid for; <= hold_ms */
	size_t answers;
	bool is_window; /* until all is paid for */
	uint64_t windows;
};

void brake_share_set(struct brake_share *s, uint64_t now, size_t answers);
/* 0: bulk work may go; else so many nanoseconds until the next window. */
uint64_t brake_share_wait(struct brake_share *s, uint64_t now);
