/* pace.h - how many threads a step of computing is to use.
 *
 * ggml's threads wait for each other at every operation, by spinning. Where
 * another program keeps a core busy, each wait may last a time slice, and two
 * threads are then a tenth as fast as one (measured); where it only flits by,
 * two remain faster. So the two are compared. A thread that spins uses
 * processor time all the time: what is missing from threads x time was taken by
 * others, and is the reason to try one thread fewer; later, one more. Whatever
 * is tried in vain is tried again after twice the time.
 *
 * Compared are steps of the same size, and large ones by the time for a token:
 * hardly two batches of prompts or of texts to embed are alike. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Tokens from which on a step takes its time for each. */
#define PACE_LARGE 32

struct pace {
	int most;
	int now;       /* threads to use */
	int was;       /* while another number is tried; else 0 */
	double was_ns; /* for a step with it */
	int size;      /* tokens of the steps in the window, or PACE_LARGE */
	double steps;  /* in it: a large one counts as several */
	uint64_t wall_ns, cpu_ns; /* of the window */
	uint64_t other_ns;	  /* of steps of other sizes since it began */
	uint64_t delay_ns[2]; /* for fewer and for more threads: until the */
	uint64_t after_ns[2]; /* next try, and when it is */
};

void pace_init(struct pace *p, int most);
/* A step with `size` tokens took so long, and so much processor time of this
 * process; gives the number of threads for the next. `at_ns` is a clock that
 * goes forward. */
int pace_step(struct pace *p, int size, uint64_t wall_ns, uint64_t cpu_ns,
	      uint64_t at_ns);
