#include "io/brake.h"
#include "io/timer.h"

#include <assert.h>
#include <pthread.h>
#include <time.h>

#define MS 1000000ull

struct brake {
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t opened;
	struct brake_share share;
	uint64_t waits;
};

/* ---- how the time is shared ---- */

static void pay(struct brake_share *s, uint64_t ns)
{
	/* More than a window pays for all, and might overflow below. */
	uint64_t paid = ns >= s->window_ms * MS
				? s->owed_ns
				: ns * s->hold_ms / s->window_ms;
	s->owed_ns -= MIN(paid, s->owed_ns);
	s->is_window &= s->owed_ns > 0;
}

/* Somebody answers, for no longer than one phase; gives what is left of it. */
static uint64_t pass_phase(struct brake_share *s, uint64_t ns)
{
	if (s->is_window) {
		/* Rounded up, so that it ends. */
		uint64_t left = (s->owed_ns * s->window_ms + s->hold_ms - 1) /
				s->hold_ms;
		pay(s, MIN(ns, left));
		return ns - MIN(ns, left);
	}
	uint64_t left = s->hold_ms * MS - s->owed_ns;
	s->owed_ns += MIN(ns, left);
	if (ns >= left) {
		s->is_window = true;
		s->windows++;
	}
	return ns - MIN(ns, left);
}

static void settle(struct brake_share *s, uint64_t now)
{
	uint64_t ns = now - s->at_ns;
	s->at_ns = now;
	if (!s->answers) {
		pay(s, ns);
		return;
	}
	/* What a whole period leads to is what it began with. */
	uint64_t period = (s->hold_ms + s->window_ms) * MS;
	s->windows += ns / period;
	ns %= period;
	while (ns)
		ns = pass_phase(s, ns);
}

void brake_share_set(struct brake_share *s, uint64_t now, size_t answers)
{
	settle(s, now);
	s->answers = answers;
}

uint64_t brake_share_wait(struct brake_share *s, uint64_t now)
{
	settle(s, now);
	return !s->answers || s->is_window ? 0 : s->hold_ms * MS - s->owed_ns;
}

/* ---- the brake ---- */

struct brake *brake_new(uint64_t hold_ms, uint64_t window_ms)
{
	pthread_condattr_t attr;
	struct brake *b = xcalloc(1, sizeof *b);
	assert(hold_ms && window_ms &&
	       hold_ms <= UINT64_MAX / 2 / MS / window_ms);
	b->share.hold_ms = hold_ms;
	b->share.window_ms = window_ms;
	b->share.at_ns = timer_now_ns();
	pthread_mutex_init(&b->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->opened, &attr);
	pthread_condattr_destroy(&attr);
	return b;
}

void brake_free(struct brake *b)
{
	if (!b)
		return;
	pthread_cond_destroy(&b->opened);
	pthread_mutex_destroy(&b->mutex);
	free(b);
}

void brake_press(struct brake *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->mutex);
	brake_share_set(&b->share, timer_now_ns(), b->share.answers + 1);
	pthread_mutex_unlock(&b->mutex);
}

void brake_release(struct brake *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->mutex);
	assert(b->share.answers);
	brake_share_set(&b->share, timer_now_ns(), b->share.answers - 1);
	if (!b->share.answers)
		pthread_cond_broadcast(&b->opened);
	pthread_mutex_unlock(&b->mutex);
}

void brake_pass(struct brake *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->mutex);
	uint64_t now = timer_now_ns();
	uint64_t wait = brake_share_wait(&b->share, now);
	b->waits += wait > 0;
	while (wait) {
		struct timespec until = {
			.tv_sec = (time_t)((now + wait) / (1000 * MS)),
			.tv_nsec = (long)((now + wait) % (1000 * MS))
		};
		pthread_cond_timedwait(&b->opened, &b->mutex, &until);
		now = timer_now_ns();
		wait = brake_share_wait(&b->share, now);
	}
	pthread_mutex_unlock(&b->mutex);
}

struct brake_facts brake_facts(struct brake *b)
{
	pthread_mutex_lock(&b->mutex);
	struct brake_facts f = {
		.is_held = brake_share_wait(&b->share, timer_now_ns()) > 0,
		.windows = b->share.windows,
		.waits = b->waits
	};
	pthread_mutex_unlock(&b->mutex);
	return f;
}
