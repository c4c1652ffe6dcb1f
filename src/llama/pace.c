#include "llama/pace.h"

#include "base/base.h"

/* The kernel counts processor time by ticks of up to 10 ms for each thread. */
#define WINDOW_NS 40000000ull
/* Threads' worth of time that others took. Below it is chance. */
#define LOST 0.3
#define FIRST_DELAY_NS 500000000ull
#define LAST_DELAY_NS 30000000000ull

void pace_init(struct pace *p, int most)
{
	*p = (struct pace){ .most = most,
			    .now = most,
			    .delay_ns = FIRST_DELAY_NS };
}

static void decide(struct pace *p, uint64_t at_ns)
{
	double lost = p->now - (double)p->cpu_ns / (double)p->wall_ns;
	if (lost > LOST && p->now > 1) {
		/* Many threads that lose much are many too many. */
		p->now = MAX(p->now - MAX((int)lost, 1), 1);
		p->retry_ns = at_ns + p->delay_ns;
		p->delay_ns = MIN(p->delay_ns * 2, LAST_DELAY_NS);
	} else if (p->now < p->most && at_ns >= p->retry_ns) {
		p->now++;
	} else if (p->now == p->most && at_ns >= p->retry_ns) {
		p->delay_ns = FIRST_DELAY_NS;
	}
}

int pace_step(struct pace *p, uint64_t wall_ns, uint64_t cpu_ns, uint64_t at_ns)
{
	p->wall_ns += wall_ns;
	p->cpu_ns += cpu_ns;
	if (p->wall_ns < WINDOW_NS * (uint64_t)p->now)
		return p->now;
	decide(p, at_ns);
	p->wall_ns = p->cpu_ns = 0;
	return p->now;
}
