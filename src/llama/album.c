#include "llama/album.h"

#include "base/limits.h"

struct seen {
	struct digest digest;
	size_t part;
	int32_t name;
	uint64_t used; /* 0: the place is free */
};

struct album {
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
	a->last = NO_TOKEN;
	return a;
}

void album_free(struct album *a)
{
	free(a);
}

int album_open(struct album *a, size_t n, struct err *e)
{
	if (a->n_open && a->n_open + n > LIMIT_IMAGES_OPEN)
		return err_set(e, ERR_UNAVAILABLE,
			       "%zu images of other requests are in memory, "
			       "and %zu more are too many: try again later",
			       a->n_open, n);
	a->n_open += n;
	return 0;
}

void album_close(struct album *a, size_t n)
{
	a->n_open -= n;
}

int32_t album_name(struct album *a, const struct digest *d, size_t part)
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
