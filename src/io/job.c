#include "io/job.h"

#include <assert.h>
#include <uv.h>

struct job {
	uv_work_t uv;
	job_work_fn work;
	job_done_fn done;
	void *ctx;
	int outcome;
	struct err err;
};

static void on_work(uv_work_t *uv)
{
	struct job *j = container_of(uv, struct job, uv);
	j->outcome = j->work(j->ctx, &j->err);
}

static void on_done(uv_work_t *uv, int status)
{
	struct job *j = container_of(uv, struct job, uv);
	assert(status == 0); /* nobody cancels jobs */
	struct job last = *j;
	free(j);
	last.done(last.ctx, last.outcome, &last.err);
}

void job_start(struct uv_loop_s *loop, job_work_fn work, job_done_fn done,
	       void *ctx)
{
	struct job *j = xcalloc(1, sizeof *j);
	j->work = work;
	j->done = done;
	j->ctx = ctx;
	int r = uv_queue_work(loop, &j->uv, on_work, on_done);
	assert(r == 0); /* it fails only without a work function */
}
