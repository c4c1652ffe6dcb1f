#include "io/lane.h"

#include <assert.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#define NICENESS 10

struct lane {
	uv_loop_t *loop;
	struct brake *brake; /* or NULL */
	uv_async_t *bell;    /* there while jobs are; closes itself */
	size_t n_jobs;	     /* not yet done, as the loop sees it */
	int n_threads;
	int max;

	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t cond;
	struct list waiting, done; /* lane_job.link */
	bool is_ending;
	pthread_t threads[];
};

static struct lane_job *job_of(struct list *link)
{
	return container_of(link, struct lane_job, link);
}

static void *work(void *arg)
{
	struct lane *l = arg;
	/* No harm if it fails: then it is not so nice. */
	int own = MIN(getpriority(PRIO_PROCESS, 0) + NICENESS, 19);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), own);
	pthread_mutex_lock(&l->mutex);
	for (;;) {
		struct list *link = list_pop_front(&l->waiting);
		if (!link && l->is_ending)
			break;
		if (!link) {
			pthread_cond_wait(&l->cond, &l->mutex);
			continue;
		}
		struct lane_job *j = job_of(link);
		pthread_mutex_unlock(&l->mutex);
		brake_pass(l->brake);
		j->outcome = j->work(j->ctx, &j->err);
		pthread_mutex_lock(&l->mutex);
		list_push_back(&l->done, &j->link);
		uv_async_send(l->bell);
	}
	pthread_mutex_unlock(&l->mutex);
	return NULL;
}

static void on_bell_closed(uv_handle_t *h)
{
	free(h);
}

/* A job may go with its `done`, which may start others. */
static void on_bell(uv_async_t *bell)
{
	struct lane *l = bell->data;
	for (;;) {
		pthread_mutex_lock(&l->mutex);
		struct list *link = list_pop_front(&l->done);
		pthread_mutex_unlock(&l->mutex);
		if (!link)
			break;
		struct lane_job *j = job_of(link);
		struct err e = j->err;
		j->done(j->ctx, j->outcome, &e);
		l->n_jobs--;
	}
	if (l->n_jobs)
		return;
	uv_close((uv_handle_t *)l->bell, on_bell_closed);
	l->bell = NULL;
}

struct lane *lane_new(struct uv_loop_s *loop, int max, struct brake *brake)
{
	struct lane *l =
		xcalloc(1, sizeof *l + (size_t)max * sizeof l->threads[0]);
	l->loop = loop;
	l->brake = brake;
	l->max = max;
	pthread_mutex_init(&l->mutex, NULL);
	pthread_cond_init(&l->cond, NULL);
	list_init(&l->waiting);
	list_init(&l->done);
	return l;
}

void lane_pass(struct lane *l)
{
	brake_pass(l->brake);
}

void lane_free(struct lane *l)
{
	if (!l)
		return;
	assert(!l->n_jobs);
	pthread_mutex_lock(&l->mutex);
	l->is_ending = true;
	pthread_cond_broadcast(&l->cond);
	pthread_mutex_unlock(&l->mutex);
	for (int i = 0; i < l->n_threads; i++)
		pthread_join(l->threads[i], NULL);
	pthread_mutex_destroy(&l->mutex);
	pthread_cond_destroy(&l->cond);
	free(l);
}

static void need_bell(struct lane *l)
{
	if (l->bell)
		return;
	l->bell = xcalloc(1, sizeof *l->bell);
	int r = uv_async_init(l->loop, l->bell, on_bell);
	assert(r == 0); /* the loop has one already, for its pool */
	(void)r;
	l->bell->data = l;
}

/* A machine that has no thread left ends here, as one without memory does. */
static void need_thread(struct lane *l)
{
	if (l->n_threads == l->max || (size_t)l->n_threads >= l->n_jobs)
		return;
	int r = pthread_create(&l->threads[l->n_threads], NULL, work, l);
	if (r && !l->n_threads)
		abort();
	l->n_threads += r == 0;
}

void lane_start(struct lane *l, struct lane_job *j, job_work_fn work_fn,
		job_done_fn done, void *ctx)
{
	*j = (struct lane_job){ .work = work_fn, .done = done, .ctx = ctx };
	need_bell(l);
	l->n_jobs++;
	need_thread(l);
	pthread_mutex_lock(&l->mutex);
	list_push_back(&l->waiting, &j->link);
	pthread_cond_signal(&l->cond);
	pthread_mutex_unlock(&l->mutex);
}
