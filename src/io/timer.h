/* timer.h - calls back once, after a while.
 *
 * Embedded in its user; timer_fini() may come at any time, also inside the
 * callback, and the memory may go right after it. (libuv's own timers must be
 * closed first, which takes another turn of the loop; that is hidden here.) */
#pragma once
#include "base/base.h"
#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct timer_impl;

struct timer {
	struct timer_impl *impl; /* owned; NULL before timer_init */
};

void timer_init(struct timer *t, struct uv_loop_s *loop, void (*fn)(void *ctx),
		void *ctx);
void timer_fini(struct timer *t);
/* Starts it, or starts it anew. */
void timer_start(struct timer *t, uint64_t ms);
void timer_stop(struct timer *t);
bool timer_is_active(const struct timer *t);
/* Milliseconds of a clock that only goes forward, cached once per loop turn. */
uint64_t timer_now_ms(struct uv_loop_s *loop);
/* Nanoseconds, read now; for measuring. */
uint64_t timer_now_ns(void);
