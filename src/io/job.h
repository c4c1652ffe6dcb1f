/* job.h - work that may block (disk, hashing), on libuv's thread pool.
 *
 * `work` runs on another thread and must touch only what `ctx` owns; `done`
 * runs on the loop, exactly once, and never before job_start() returned. */
#pragma once
#include "base/err.h"

struct uv_loop_s;

typedef int (*job_work_fn)(void *ctx, struct err *e);
/* `outcome` is what `work` returned; *e is set when that is -1. */
typedef void (*job_done_fn)(void *ctx, int outcome, const struct err *e);

/* ctx must live until `done`; an owner that goes earlier notes that in it. */
void job_start(struct uv_loop_s *loop, job_work_fn work, job_done_fn done,
	       void *ctx);
