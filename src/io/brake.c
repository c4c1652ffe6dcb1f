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
	uint64_t paid = ns >= s->open_ms * MS ? s->held_ns
					      : ns * s->closed_ms / s->open_ms;
	s->held_ns -= MIN(paid, s->held_ns);
	s->is_window &= s->held_ns > 0;
}

/* Somebody answers, for no longer than one phase; gives what is left of it. */
static uint64_t pass_phase(struct brake_share *s, uint64_t ns)
{
	if (s->is_window) {
		/* Rounded up, so that it ends. */
		uint64_t left = (s->held_ns * s->open_ms + s->closed_ms - 1) /
				s->closed_ms;
		pay(s, MIN(ns, left));
		return ns - MIN(ns, left);
	}
	uint64_t left = s->closed_ms * MS - s->held_ns;
	s->held_ns += MIN(ns, left);
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
	uint64_t period = (s->closed_ms + s->open_ms) * MS;
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
	return !s->answers || s->is_window ? 0 : s->closed_ms * MS - s->held_ns;
}

/* ---- the brake ---- */

struct brake *brake_new(uint64_t closed_ms, uint64_t open_ms)
{
	pthread_condattr_t attr;
	struct brake *g = xcalloc(1, sizeof *g);
	assert(closed_ms && open_ms);
	g->share.closed_ms = closed_ms;
	g->share.open_ms = open_ms;
	g->share.at_ns = timer_now_ns();
	pthread_mutex_init(&g->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->opened, &attr);
	pthread_condattr_destroy(&attr);
	return g;
}

void brake_free(struct brake *g)
{
	if (!g)
		return;
	pthread_cond_destroy(&g->opened);
	pthread_mutex_destroy(&g->mutex);
	free(g);
}

void brake_press(struct brake *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->mutex);
	brake_share_set(&g->share, timer_now_ns(), g->share.answers + 1);
	pthread_mutex_unlock(&g->mutex);
}

void brake_release(struct brake *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->mutex);
	assert(g->share.answers);
	brake_share_set(&g->share, timer_now_ns(), g->share.answers - 1);
	if (!g->share.answers)
		pthread_cond_broadcast(&g->opened);
	pthread_mutex_unlock(&g->mutex);
}

void brake_pass(struct brake *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->mutex);
	uint64_t now = timer_now_ns();
	uint64_t wait = brake_share_wait(&g->share, now);
	g->waits += wait > 0;
	while (wait) {
		struct timespec until = {
			.tv_sec = (time_t)((now + wait) / (1000 * MS)),
			.tv_nsec = (long)((now + wait) % (1000 * MS))
		};
		pthread_cond_timedwait(&g->opened, &g->mutex, &until);
		now = timer_now_ns();
		wait = brake_share_wait(&g->share, now);
	}
	pthread_mutex_unlock(&g->mutex);
}

struct brake_facts brake_facts(struct brake *g)
{
	pthread_mutex_lock(&g->mutex);
	struct brake_facts f = {
		.is_closed = brake_share_wait(&g->share, timer_now_ns()) > 0,
		.windows = g->share.windows,
		.waits = g->waits
	};
	pthread_mutex_unlock(&g->mutex);
	return f;
}
