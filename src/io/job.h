/* job.h - work that may block (disk, hashing), on libuv's thread pool.
 *
 * `work` runs on another thread and must touch only what `arg` owns; `done`
 * runs on the loop, exactly once, and never before job_start() returned. */
#pragma once
#include "base/err.h"

struct uv_loop_s;
struct job;

typedef int (*job_work_fn)(void *arg, struct err *e);
/* `outcome` is what `work` returned; *e is set when that is -1. */
typedef void (*job_done_fn)(void *ctx, int outcome, const struct err *e);

struct job *job_start(struct uv_loop_s *loop, job_work_fn work, void *arg,
		      job_done_fn done, void *ctx);
/* The owner of ctx goes away: `work` still ends, but `done` gets called with a
 * NULL ctx, so that it can free `arg`... it must be prepared for that. */
void job_orphan(struct job *j);
