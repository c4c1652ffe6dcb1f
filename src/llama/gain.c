#include "llama/gain.h"

#include "base/base.h"

/* Part of the time that becomes a task's credit, and everybody's. */
#define EARNS 0.0075
/* Credit that may be saved: everybody's is what a task may lose at once. */
#define MOST_SHARED 2.0
#define MOST_OWN 32.0
#define MOST_FUND 512.0
/* What a draft model may cost before it has shown what it is worth. */
#define LOAN 64.0
/* A token more, in units, where nothing is known: guessed, and at most. */
#define GUESSED_SLOPE 0.5
#define WORST_SLOPE 1.0
/* Where smaller batches are known, larger ones cost at most so much more. */
#define WORST_FACTOR 1.5
/* How much a new measurement counts: steps, and what more tokens cost where
 * both may have changed. */
#define NEW 0.2
#define NEW_BOTH 0.05
/* Without any experience. */
#define HOPE 0.8
/* How much an old draft still counts after a new one. */
#define FADES 0.8
#define FIRST_REST 4
#define LAST_REST 256
#define STALE 64

void gain_init(struct gain *g)
{
	*g = (struct gain){ .ratio = { 0, 1 } };
}

void gain_lend(struct gain *g)
{
	g->credit = MOST_SHARED;
	g->fund = LOAN;
}

void gain_task_init(struct gain_task *t)
{
	*t = (struct gain_task){ 0 };
	for (size_t i = 0; i < GAIN_SOURCES; i++) {
		t->of[i].taken = HOPE;
		t->of[i].drafted = 1;
		t->of[i].next_rest = FIRST_REST;
	}
}

/* ---- what batches cost ---- */

static double mix(double was, double now, double part)
{
	return was > 0 ? was + (now - was) * part : now;
}

/* Between two sizes that are known on a line; above them a slope goes on. */
static double cost(const struct gain *g, size_t n, double slope, double factor)
{
	size_t below = MIN(n, (size_t)GAIN_SIZES), above = below;
	while (below > 1 && !(g->ratio[below] > 0))
		below--;
	while (above < GAIN_SIZES && !(g->ratio[above] > 0))
		above++;
	double low = g->ratio[below];
	if (n <= below)
		return low;
	if (above >= n && g->ratio[above] > 0)
		return low + (g->ratio[above] - low) * (double)(n - below) /
				     (double)(above - below);
	if (below > 1)
		slope = MAX(low - 1, 0) / (double)(below - 1) * factor;
	return low + slope * (double)(n - below);
}

double gain_cost(const struct gain *g, size_t n)
{
	return cost(g, n, GUESSED_SLOPE, 1);
}

static double worst_cost(const struct gain *g, size_t n)
{
	return cost(g, n, WORST_SLOPE, WORST_FACTOR);
}

/* The unit follows the machine and the length of the texts; a ratio moves
 * little, once it is known. */
void gain_plain(struct gain *g, size_t n, double ns)
{
	g->n_drafted = 0;
	if (!n || n > GAIN_SIZES)
		return;
	if (n > 1 && g->unit_ns > 0)
		g->ratio[n] = mix(g->ratio[n], ns / g->unit_ns, NEW_BOTH);
	g->unit_ns = mix(g->unit_ns, ns / gain_cost(g, n), NEW);
}

void gain_drafted(struct gain *g, size_t n, double ns)
{
	g->n_drafted++;
	if (n > 1 && n <= GAIN_SIZES && g->unit_ns > 0)
		g->ratio[n] = mix(g->ratio[n], ns / g->unit_ns, NEW);
}

bool gain_is_stale(const struct gain *g)
{
	return g->n_drafted >= STALE || !(g->unit_ns > 0);
}

/* ---- what drafts bring ---- */

/* The time that one more token is worth, in units. */
static double worth(const struct gain *g, size_t n_tasks)
{
	return gain_cost(g, n_tasks) / (double)MAX(n_tasks, (size_t)1);
}

size_t gain_choose(const struct gain *g, const struct gain_task *t,
		   enum gain_source from, const struct gain_case *c)
{
	double p = t->of[from].taken / t->of[from].drafted;
	double now = gain_cost(g, c->n_batch), token = worth(g, c->n_tasks);
	double credit = t->credit + g->credit, most = 0;
	double expected = 0, chance = 1;
	size_t best = 0;
	if (t->of[from].rest)
		return 0;
	if (t->of[from].is_probe)
		p = MAX(p, HOPE);
	for (size_t k = 1; k <= c->most && c->n_batch + k <= GAIN_SIZES; k++) {
		double drafting = c->first + c->each * (double)k;
		chance *= p;
		expected += chance;
		double gain = expected * token - drafting -
			      (gain_cost(g, c->n_batch + k) - now);
		double loss = drafting + worst_cost(g, c->n_batch + k) - now;
		if (gain <= most || loss > credit)
			continue;
		most = gain;
		best = k;
	}
	return best;
}

static void tick(struct gain_task *t, size_t n)
{
	for (size_t i = 0; i < GAIN_SOURCES; i++) {
		unsigned done = (unsigned)MIN(n, (size_t)t->of[i].rest);
		if (!done)
			continue;
		t->of[i].rest -= done;
		t->of[i].is_probe = !t->of[i].rest;
	}
}

void gain_earn(struct gain *g, struct gain_task *t, size_t n_tasks)
{
	double earned = EARNS * worth(g, n_tasks);
	t->credit = MIN(t->credit + earned, MOST_OWN);
	g->credit = MIN(g->credit + earned, MOST_SHARED);
	tick(t, 1);
}

void gain_pay(struct gain *g, struct gain_task *t, double units)
{
	double own = MIN(MAX(t->credit, 0), units);
	t->credit -= own;
	g->credit -= units - own;
}

bool gain_affords(const struct gain *g, const struct gain_task *t, double units)
{
	return units <= g->fund + t->credit + g->credit;
}

void gain_pay_reading(struct gain *g, struct gain_task *t, double units)
{
	double funded = MIN(g->fund, units);
	g->fund -= funded;
	gain_pay(g, t, units - funded);
}

static void settle(struct gain *g, struct gain_task *t, enum gain_source from,
		   double balance)
{
	if (balance < 0) {
		gain_pay(g, t, -balance);
		return;
	}
	if (from == GAIN_MODEL) {
		double put_by = MIN(balance / 2, MOST_FUND - g->fund);
		g->fund += put_by;
		balance -= put_by;
	}
	double shared = MIN(balance / 2, MAX(MOST_SHARED - g->credit, 0));
	g->credit += shared;
	t->credit = MIN(t->credit + balance - shared, MOST_OWN);
}

void gain_learn(struct gain *g, struct gain_task *t, enum gain_source from,
		const struct gain_result *r)
{
	double taken = (double)r->n_taken;
	bool failed = r->n_taken < r->n_drafted && !r->is_over;
	settle(g, t, from, taken * worth(g, r->n_tasks) - r->cost);
	tick(t, r->n_taken + 1);
	t->of[from].is_probe = false;
	t->of[from].taken = t->of[from].taken * FADES + taken;
	t->of[from].drafted =
		t->of[from].drafted * FADES + taken + (failed ? 1 : 0);
	if (!failed || 2 * r->n_taken >= r->n_drafted) {
		t->of[from].next_rest = FIRST_REST;
	} else if (!r->n_taken) {
		t->of[from].rest = t->of[from].next_rest;
		t->of[from].next_rest =
			MIN(2 * t->of[from].next_rest, (unsigned)LAST_REST);
	}
}
