#include "llama/projector_priv.h"

#include "base/log.h"
#include "io/timer.h"
#include "llama/runs.h"

#include <errno.h>
#include <string.h>

/* ---- the thread that encodes ---- */

/* Who asked may have gone, and then nobody else can come to hold it. */
static bool is_wanted(const struct projector *p, struct image *i)
{
	return !atomic_load(&p->is_stopping) && atomic_load(&i->refs) > 1;
}

bool projector_goes_on(const struct projector *p)
{
	return !p->encoding || is_wanted(p, p->encoding);
}

static void encode(struct projector *p, struct image *i)
{
	uint64_t start = timer_now_ns();
	size_t bytes = i->n_tokens * p->width * sizeof(float);
	log_debug("image begins tokens=%zu", i->n_tokens);
	p->encoding = i;
	const float *made = p->fns->encode(p, i->chunk);
	p->encoding = NULL;
	if (!is_wanted(p, i)) {
		log_debug("image left, nobody waits for it");
		return;
	}
	if (!made) {
		atomic_store(&i->phase, IMAGE_BROKEN);
		return;
	}
	i->embeddings = xrealloc(NULL, bytes);
	memcpy(i->embeddings, made, bytes);
	atomic_store(&i->phase, IMAGE_DONE);
	log_debug("image encoded tokens=%zu ms=%llu", i->n_tokens,
		  (unsigned long long)(timer_now_ns() - start) / 1000000);
}

static struct image *next(struct projector *p)
{
	struct list *link = NULL;
	pthread_mutex_lock(&p->mutex);
	while (!atomic_load(&p->is_stopping) &&
	       !(link = list_pop_front(&p->queue)))
		pthread_cond_wait(&p->cond, &p->mutex);
	pthread_mutex_unlock(&p->mutex);
	return link ? container_of(link, struct image, link) : NULL;
}

static void *run(void *arg)
{
	struct projector *p = arg;
	for (struct image *i; (i = next(p));) {
		if (is_wanted(p, i))
			encode(p, i);
		image_free(i);
		pthread_mutex_lock(&p->mutex);
		if (p->wake)
			p->wake(p->ctx);
		pthread_mutex_unlock(&p->mutex);
	}
	return NULL;
}

/* ---- the whole ---- */

bool projector_is_built(void)
{
	return IMAGES;
}

static int open_it(struct projector *p, const struct projector_options *o,
		   struct err *e)
{
#if IMAGES
	return projector_mtmd_open(p, o, e);
#else
	(void)p;
	(void)o;
	return err_set(e, ERR_UNSUPPORTED,
		       "this modeld-llama is built without images");
#endif
}

int projector_open(const struct projector_options *o, struct projector **out,
		   struct err *e)
{
	struct projector *p = xcalloc(1, sizeof *p);
	list_init(&p->queue);
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->cond, NULL);
	if (open_it(p, o, e)) {
		projector_free(p);
		return -1;
	}
	errno = pthread_create(&p->thread, NULL, run, p);
	p->has_thread = errno == 0;
	if (!p->has_thread) {
		err_sys(e, "start the thread for images");
		projector_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

void projector_free(struct projector *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->mutex);
	atomic_store(&p->is_stopping, true);
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->mutex);
	if (p->has_thread)
		pthread_join(p->thread, NULL);
	for (struct list *link; (link = list_pop_front(&p->queue));)
		image_free(container_of(link, struct image, link));
	if (p->fns)
		p->fns->close(p);
	pthread_mutex_destroy(&p->mutex);
	pthread_cond_destroy(&p->cond);
	free(p);
}

void projector_set_wake(struct projector *p, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&p->mutex);
	p->wake = fn;
	p->ctx = ctx;
	pthread_mutex_unlock(&p->mutex);
}

int projector_read(struct projector *p, const struct picture *pic,
		   struct tokens *tokens, struct runs *runs, struct err *e)
{
	return p->fns->read(p, pic, tokens, runs, e);
}

size_t projector_width(const struct projector *p)
{
	return p->width;
}
