#include "llama/pace.h"

#include "base/base.h"

/* The kernel counts processor time by ticks of up to 10 ms for each thread. */
#define WINDOW_NS 40000000ull
/* Threads' worth of time that others took. Below it is chance. */
#define LOST 0.3
/* A change must pay. */
#define BETTER 0.95
/* A try that is so much slower is over before its window is. */
#define HOPELESS 1.5
#define FIRST_DELAY_NS 500000000ull
#define LAST_DELAY_NS 60000000000ull

enum { FEWER, MORE };

void pace_init(struct pace *p, int most)
{
	*p = (struct pace){ .most = most,
			    .now = most,
			    .delay_ns = { FIRST_DELAY_NS, FIRST_DELAY_NS } };
}

static void start_window(struct pace *p, int size)
{
	p->size = size;
	p->steps = 0;
	p->wall_ns = p->cpu_ns = p->other_ns = 0;
}

static void try_other(struct pace *p, int threads, double step_ns)
{
	p->was = p->now;
	p->was_ns = step_ns;
	p->now = threads;
}

/* A try is over: keeps what is faster. */
static void judge(struct pace *p, double step_ns, uint64_t at_ns)
{
	int way = p->now > p->was ? MORE : FEWER;
	if (step_ns < p->was_ns * BETTER) {
		p->delay_ns[way] = FIRST_DELAY_NS;
		/* The way back was the worse one just now. */
		p->after_ns[!way] = at_ns + p->delay_ns[!way];
	} else {
		p->now = p->was;
		p->after_ns[way] = at_ns + p->delay_ns[way];
		p->delay_ns[way] = MIN(p->delay_ns[way] * 2, LAST_DELAY_NS);
	}
	p->was = 0;
}

static void decide(struct pace *p, uint64_t at_ns)
{
	double step_ns = (double)p->wall_ns / p->steps;
	double lost = p->now - (double)p->cpu_ns / (double)p->wall_ns;
	if (p->was)
		judge(p, step_ns, at_ns);
	else if (lost > LOST && p->now > 1 && at_ns >= p->after_ns[FEWER])
		/* Of many threads that lose much, many are too many. */
		try_other(p, MAX(p->now - MAX((int)lost, 1), 1), step_ns);
	else if (p->now < p->most && at_ns >= p->after_ns[MORE])
		try_other(p, p->now + 1, step_ns);
}

static uint64_t window_ns(const struct pace *p)
{
	return WINDOW_NS * (uint64_t)p->now;
}

/* Steps of another size: few are passed over, with many a window of theirs
 * begins, and a try that was not judged is over. */
static bool changes_size(struct pace *p, int size, uint64_t wall_ns)
{
	p->other_ns += wall_ns;
	if (p->size && p->other_ns < window_ns(p))
		return false;
	if (p->was)
		p->now = p->was;
	p->was = 0;
	start_window(p, size);
	return true;
}

int pace_step(struct pace *p, int size, uint64_t wall_ns, uint64_t cpu_ns,
	      uint64_t at_ns)
{
	double steps = 1;
	if (size > PACE_LARGE) {
		steps = (double)size / PACE_LARGE;
		size = PACE_LARGE;
	}
	if (size != p->size && !changes_size(p, size, wall_ns))
		return p->now;
	p->steps += steps;
	p->wall_ns += wall_ns;
	p->cpu_ns += cpu_ns;
	bool is_hopeless =
		p->was &&
		(double)p->wall_ns > HOPELESS * p->was_ns * (p->steps + 2);
	if (p->wall_ns < window_ns(p) && !is_hopeless)
		return p->now;
	decide(p, at_ns);
	start_window(p, size);
	return p->now;
}
