/* gain.h - when to compute drafted tokens, and how many.
 *
 * A batch of several tokens costs more than one of a single token: nearly as
 * much more as there are tokens where computing is the limit, nearly nothing
 * where reading the weights is. So costs are measured, in units of a step with
 * one token, and tokens are drafted only where they are expected to save time.
 *
 * An expectation may be wrong, so it is backed: time without drafts earns a
 * little credit, drafts that are taken earn what they saved, and each draft is
 * to be covered by the credit for the case that nothing of it is taken. What
 * drafts can cost is therefore a small part of the time, whatever the text;
 * where they fail, the next one waits twice as long. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gain_source { GAIN_NGRAM, GAIN_MODEL, GAIN_SOURCES };

/* Batches above it are not drafted for. */
#define GAIN_SIZES 64

/* Of a process: what batches cost, and credit that all its tasks may use. */
struct gain {
	double unit_ns; /* a step with one token; 0: not known yet */
	double ratio[GAIN_SIZES + 1]; /* with n, in units; 0: not known yet */
	double credit;		      /* units */
	double fund;	    /* for what a draft model reads before it drafts */
	unsigned n_drafted; /* steps since the last without drafts */
};

/* Of one task. */
struct gain_task {
	double credit; /* units */
	struct {
		double taken, drafted; /* recently, newer ones count more */
		unsigned rest;	       /* tokens until the next try */
		unsigned next_rest;    /* after one in vain */
		bool is_probe;	       /* the first try after a rest */
	} of[GAIN_SOURCES];
};

void gain_init(struct gain *g);
/* Somebody wants a draft model to be tried: a loan to begin with, once. */
void gain_lend(struct gain *g);
void gain_task_init(struct gain_task *t);

/* A step with one token for each of n tasks took so long. */
void gain_plain(struct gain *g, size_t n, double ns);
/* So did one with n tokens, some of them drafted. */
void gain_drafted(struct gain *g, size_t n, double ns);
/* What one with n tokens is expected to cost, in units. */
double gain_cost(const struct gain *g, size_t n);
/* Is it time for a step without drafts, to know what that costs now? */
bool gain_is_stale(const struct gain *g);

struct gain_case {
	size_t n_tasks; /* in the batch, one token each */
	size_t n_batch; /* tokens in it by now */
	size_t most;	/* tokens that could be drafted */
	double first;	/* cost of making a draft at all, in units */
	double each;	/* and of each token in it */
};
/* How many tokens to draft; 0: none. */
size_t gain_choose(const struct gain *g, const struct gain_task *t,
		   enum gain_source from, const struct gain_case *c);

/* The task got a token in a step of n tasks without drafts. */
void gain_earn(struct gain *g, struct gain_task *t, size_t n_tasks);
/* The task pays for something that brought no tokens. */
void gain_pay(struct gain *g, struct gain_task *t, double units);
/* A draft model reads the task's text: is there so much for it? Then it pays.
 * What drafts of the model save is put by for the texts to come. */
bool gain_affords(const struct gain *g, const struct gain_task *t,
		  double units);
void gain_pay_reading(struct gain *g, struct gain_task *t, double units);

struct gain_result {
	size_t n_tasks;
	size_t n_drafted, n_taken;
	bool is_over; /* the task ended meanwhile: the rest is no failure */
	double cost;  /* of the draft and its part of the step, in units */
};
void gain_learn(struct gain *g, struct gain_task *t, enum gain_source from,
		const struct gain_result *r);
