#include "io/lane.h"

void lane_init(struct lane *l, struct uv_loop_s *loop, int max)
{
	l->loop = loop;
	l->running = 0;
	l->max = max;
	list_init(&l->waiting);
}

static void next(struct lane *l);

static int on_work(void *ctx, struct err *e)
{
	const struct lane_job *j = ctx;
	return j->work(j->ctx, e);
}

/* The job may go with `done`. */
static void on_done(void *ctx, int outcome, const struct err *e)
{
	struct lane_job *j = ctx;
	struct lane *l = j->lane;
	l->running--;
	next(l);
	j->done(j->ctx, outcome, e);
}

static void next(struct lane *l)
{
	struct list *link;
	if (l->running >= l->max || !(link = list_pop_front(&l->waiting)))
		return;
	l->running++;
	job_start(l->loop, on_work, on_done,
		  container_of(link, struct lane_job, link));
}

void lane_start(struct lane *l, struct lane_job *j, job_work_fn work,
		job_done_fn done, void *ctx)
{
	*j = (struct lane_job){
		.lane = l, .work = work, .done = done, .ctx = ctx
	};
	list_push_back(&l->waiting, &j->link);
	next(l);
}
