/* brake.h - bulk work gives way to answers. An engine's threads meet at a
 * barrier hundreds of times a token, and the slowest sets the pace: a pull that
 * takes a core for a moment, by its own work or by what it makes the kernel and
 * a registry on this machine do, holds all of them up, however low its
 * priority.
 *
 * So while answers are made, from the moment that a request holds an engine to
 * the end of its answer (its last token meets the same barriers as its first),
 * bulk work stands still between two pieces. Its buffers fill, then its
 * sockets, then who sends stops too. It has its share all the same: when it was
 * held for `closed_ms` in all, it goes for `open_ms`, whoever answers; and time
 * in which nobody answers pays for time in which it was held, at the same rate.
 * What comes from far is not slower for it: the kernel takes it meanwhile.
 *
 * Where no request is with an engine the brake costs one uncontended lock a
 * piece. */
#pragma once
#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct brake;

struct brake *brake_new(uint64_t closed_ms, uint64_t open_ms) must_use;
/* Nobody is in it. */
void brake_free(struct brake *g);

/* A request has an engine, and has it no more. Any thread; no-ops for NULL. */
void brake_press(struct brake *g);
void brake_release(struct brake *g);
/* Bulk work, before each piece, on a thread that may wait: comes back when it
 * may go on. At once for NULL. */
void brake_pass(struct brake *g);

struct brake_facts {
	bool is_closed;	  /* now */
	uint64_t windows; /* times that it opened although somebody answers */
	uint64_t waits;	  /* pieces that had to wait */
};
struct brake_facts brake_facts(struct brake *g);

/* ---- how the time is shared: pure; `now` is in nanoseconds ---- */

struct brake_share {
	uint64_t closed_ms, open_ms;
	uint64_t at_ns;	  /* of what follows */
	uint64_t held_ns; /* not paid for yet; at most closed_ms */
	size_t answers;
	bool is_window; /* open until all of it is paid for */
	uint64_t windows;
};

void brake_share_set(struct brake_share *s, uint64_t now, size_t answers);
/* 0: it is open; else so many nanoseconds until it is, if all stays so. */
uint64_t brake_share_wait(struct brake_share *s, uint64_t now);
