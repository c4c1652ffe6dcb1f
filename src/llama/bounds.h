/* bounds.h - ends work on a stranger's program: a chat template is one, and it
 * may loop, double a string or call itself as often as it likes.
 *
 * llama.cpp's interpreter counts nothing, but each of its steps allocates. So
 * this program's operator new counts for it: between bounds_begin() and
 * bounds_end() it throws std::bad_alloc, again and again, once the thread has
 * taken too much memory, processor time or stack. What never allocates (the
 * search of a long string in another) is ended with the process, some seconds
 * later, by a timer. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
#include "base/base.h"
#include <stdint.h>

struct bounds {
	uint64_t bytes;	  /* more than were taken before */
	uint64_t time_ms; /* of the processor, not of the clock */
};

/* Where a process that has to end says so: the events descriptor, or -1. */
void bounds_tell(int fd);
/* For this thread, which is in no other bounds. */
void bounds_begin(const struct bounds *b);
/* Nanoseconds of the processor that this thread has used. */
uint64_t bounds_cpu_ns(void);
/* NULL, or what was exceeded: "2000 ms of processor time"; static. */
const char *bounds_end(void);
#ifdef __cplusplus
}
#endif
