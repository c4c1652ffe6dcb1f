/* pace.h - how many threads a step of computing is to use.
 *
 * ggml's threads wait for each other at every operation, by spinning. Where
 * another program holds one of the cores, each wait may last a time slice, and
 * two threads are then a tenth as fast as one (measured). A thread that spins
 * uses processor time all the time: whatever is missing from threads x time was
 * taken by others, and then one thread fewer is used. After a while, longer
 * each time that it was in vain, one more is tried again. Pure. */
#pragma once
#include <stdint.h>

struct pace {
	int most;
	int now;	  /* threads to use */
	uint64_t wall_ns; /* of the steps since the last decision */
	uint64_t cpu_ns;
	uint64_t delay_ns; /* until the next try, and when that is */
	uint64_t retry_ns;
};

void pace_init(struct pace *p, int most);
/* A step took so long, and so much processor time of this process; gives the
 * number of threads for the next. `at_ns` is a clock that goes forward. */
int pace_step(struct pace *p, uint64_t wall_ns, uint64_t cpu_ns,
	      uint64_t at_ns);
