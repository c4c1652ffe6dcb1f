/* rate.h - so much a minute, and how long until there is some again.
 *
 * A level that fills up steadily: a minute's worth may be taken at once, and
 * what was taken comes back within a minute. Plain values, no clock of their
 * own; times are in milliseconds of any clock that only goes forward.
 */
#pragma once
#include "base/base.h"
#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint64_t per_minute; /* 0: no limit */
	int64_t left;	     /* in 1/60000; below 0 after a large charge */
	uint64_t at_ms;	     /* when that was so */
};

/* Sets or changes the limit; what was taken stays taken. */
void rate_set(struct rate *l, uint64_t per_minute, uint64_t now_ms);
/* Is there one left? */
bool rate_has(struct rate *l, uint64_t now_ms);
/* Takes, also what is not there: then it has to be waited for. */
void rate_take(struct rate *l, uint64_t n, uint64_t now_ms);
/* Whole ones, never below 0. */
uint64_t rate_left(struct rate *l, uint64_t now_ms);
/* Milliseconds until there is one, and until all are back; 0: now. */
uint64_t rate_wait_ms(struct rate *l, uint64_t now_ms);
uint64_t rate_reset_ms(struct rate *l, uint64_t now_ms);
