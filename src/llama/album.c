#include "llama/album.h"

#include "base/limits.h"

#include <pthread.h>

struct seen {
	struct digest digest;
	size_t part;
	int32_t name;
	uint64_t used; /* 0: the place is free */
};

struct album {
	pthread_mutex_t mutex; /* of what follows */
	struct seen seen[LIMIT_IMAGE_NAMES];
	uint64_t clock;
	int32_t last;
	size_t n_open;
};

/* llama.cpp's word for no token. */
#define NO_TOKEN (-1)

struct album *album_new(void)
{
	struct album *a = xcalloc(1, sizeof *a);
	pthread_mutex_init(&a->mutex, NULL);
	a->last = NO_TOKEN;
	return a;
}

void album_free(struct album *a)
{
	if (!a)
		return;
	pthread_mutex_destroy(&a->mutex);
	free(a);
}

int album_open(struct album *a, size_t n, struct err *e)
{
	pthread_mutex_lock(&a->mutex);
	size_t others = a->n_open;
	bool fits = !others || others + n <= LIMIT_IMAGES_OPEN;
	a->n_open += fits ? n : 0;
	pthread_mutex_unlock(&a->mutex);
	if (fits)
		return 0;
	return err_set(e, ERR_UNAVAILABLE,
		       "%zu images of other requests are in memory, and %zu "
		       "more are too many: try again later",
		       others, n);
}

void album_close(struct album *a, size_t n)
{
	pthread_mutex_lock(&a->mutex);
	a->n_open -= n;
	pthread_mutex_unlock(&a->mutex);
}

static int32_t name_of(struct album *a, const struct digest *d, size_t part)
{
	struct seen *oldest = &a->seen[0];
	for (size_t i = 0; i < LIMIT_IMAGE_NAMES; i++) {
		struct seen *it = &a->seen[i];
		if (it->used && it->part == part && digest_eq(&it->digest, d)) {
			it->used = ++a->clock;
			return it->name;
		}
		if (it->used < oldest->used)
			oldest = it;
	}
	/* After two thousand million others, the first ones' cells are gone. */
	a->last = a->last == INT32_MIN ? NO_TOKEN - 1 : a->last - 1;
	*oldest = (struct seen){ *d, part, a->last, ++a->clock };
	return a->last;
}

int32_t album_name(struct album *a, const struct digest *d, size_t part)
{
	pthread_mutex_lock(&a->mutex);
	int32_t name = name_of(a, d, part);
	pthread_mutex_unlock(&a->mutex);
	return name;
}
