/* lane.h - jobs of one kind, so many at a time, on threads of their own: those
 * that block for long must not take all threads of the pool from the short
 * ones. First come, first served.
 *
 * They are for bulk work, which gives way to answers: each job waits at the
 * brake before it begins, and one that is longer than a few milliseconds waits
 * there again between its pieces. The threads run at low priority (nice 10). */
#pragma once
#include "base/list.h"
#include "io/brake.h"
#include "io/job.h"

struct lane;

/* Embedded in what the job works on. */
struct lane_job {
	struct list link;
	job_work_fn work;
	job_done_fn done;
	void *ctx;
	int outcome;
	struct err err;
};

/* `max` jobs run at one time; threads come with the first of them. The brake is
 * borrowed; NULL: there is none. */
struct lane *lane_new(struct uv_loop_s *loop, int max,
		      struct brake *brake) must_use;
/* All its jobs are done. */
void lane_free(struct lane *l);
/* As job_start(). */
void lane_start(struct lane *l, struct lane_job *j, job_work_fn work,
		job_done_fn done, void *ctx);
/* For a job, between its pieces: comes back when it may go on. */
void lane_pass(struct lane *l);
