#include "api/rate.h"

#define UNIT 60000
/* A charge above it says nothing that this does not. */
#define TAKE_MAX 1000000000u

static int64_t full(const struct rate *l)
{
	return (int64_t)l->per_minute * UNIT;
}

static void fill(struct rate *l, uint64_t now_ms)
{
	uint64_t passed = now_ms > l->at_ms ? now_ms - l->at_ms : 0;
	uint64_t missing = (uint64_t)(full(l) - l->left);
	l->at_ms = now_ms;
	if (l->per_minute && passed > missing / l->per_minute)
		l->left = full(l);
	else
		l->left += (int64_t)(passed * l->per_minute);
}

void rate_set(struct rate *l, uint64_t per_minute, uint64_t now_ms)
{
	fill(l, now_ms);
	int64_t taken = l->per_minute ? full(l) - l->left : 0;
	l->per_minute = per_minute;
	l->left = full(l) - taken;
}

bool rate_has(struct rate *l, uint64_t now_ms)
{
	return rate_wait_ms(l, now_ms) == 0;
}

void rate_take(struct rate *l, uint64_t n, uint64_t now_ms)
{
	if (!l->per_minute)
		return;
	fill(l, now_ms);
	l->left -= (int64_t)MIN(n, TAKE_MAX) * UNIT;
	/* No debt of hours, whatever an engine tells. */
	l->left = MAX(l->left, -60 * full(l));
}

uint64_t rate_left(struct rate *l, uint64_t now_ms)
{
	fill(l, now_ms);
	return l->left > 0 ? (uint64_t)l->left / UNIT : 0;
}

/* Until the level is `want`. */
static uint64_t until(struct rate *l, int64_t want, uint64_t now_ms)
{
	if (!l->per_minute)
		return 0;
	fill(l, now_ms);
	if (l->left >= want)
		return 0;
	return ((uint64_t)(want - l->left) + l->per_minute - 1) / l->per_minute;
}

uint64_t rate_wait_ms(struct rate *l, uint64_t now_ms)
{
	return until(l, UNIT, now_ms);
}

uint64_t rate_reset_ms(struct rate *l, uint64_t now_ms)
{
	return until(l, full(l), now_ms);
}
