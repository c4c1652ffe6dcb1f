#include "llama/image.h"

#include "llama/projector_priv.h"

struct image *image_new(struct projector *p, void *chunk)
{
	struct image *i = xcalloc(1, sizeof *i);
	i->projector = p;
	i->chunk = chunk;
	atomic_init(&i->refs, 1);
	atomic_init(&i->phase, IMAGE_RAW);
	list_init(&i->link);
	return i;
}

struct image *image_hold(struct image *i)
{
	atomic_fetch_add(&i->refs, 1);
	return i;
}

void image_free(struct image *i)
{
	if (!i || atomic_fetch_sub(&i->refs, 1) > 1)
		return;
	i->projector->fns->free_chunk(i->chunk);
	free(i->embeddings);
	free(i);
}

enum image_ready image_embeddings(struct image *i, const float **out)
{
	struct projector *p = i->projector;
	switch ((enum image_phase)atomic_load(&i->phase)) {
	case IMAGE_RAW:
		atomic_store(&i->phase, IMAGE_QUEUED);
		pthread_mutex_lock(&p->mutex);
		list_push_back(&p->queue, &image_hold(i)->link);
		pthread_cond_signal(&p->cond);
		pthread_mutex_unlock(&p->mutex);
		return IMAGE_WAIT;
	case IMAGE_QUEUED:
		return IMAGE_WAIT;
	case IMAGE_DONE:
		*out = i->embeddings;
		return IMAGE_READY;
	case IMAGE_BROKEN:
		break;
	}
	return IMAGE_FAILED;
}

void image_drop(struct image *i)
{
	free(steal(&i->embeddings));
	atomic_store(&i->phase, IMAGE_RAW);
}

void image_place(const struct image *i, size_t pos, size_t k, int32_t out[4])
{
	i->projector->fns->place(i->chunk, pos, k, out);
}
