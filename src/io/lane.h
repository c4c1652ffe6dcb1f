/* lane.h - jobs of one kind, so many at a time: those that block for long must
 * not take all threads of the pool from the short ones. First come, first
 * served. */
#pragma once
#include "base/list.h"
#include "io/job.h"

struct lane {
	struct uv_loop_s *loop;
	struct list waiting;
	int running;
	int max;
};

/* Embedded in what the job works on. */
struct lane_job {
	struct list link;
	struct lane *lane;
	job_work_fn work;
	job_done_fn done;
	void *ctx;
};

void lane_init(struct lane *l, struct uv_loop_s *loop, int max);
/* As job_start(). The lane must outlive its jobs. */
void lane_start(struct lane *l, struct lane_job *j, job_work_fn work,
		job_done_fn done, void *ctx);
