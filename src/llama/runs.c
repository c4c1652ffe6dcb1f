#include "llama/runs.h"

#include "llama/image.h"

#include <stdint.h>

static size_t end_of(const struct run *r)
{
	return r->at + r->image->n_tokens;
}

void runs_push(struct runs *r, size_t at, struct image *image)
{
	r->p = xrealloc(r->p, (r->n + 1) * sizeof *r->p);
	r->p[r->n++] = (struct run){ at, image };
}

void runs_copy(const struct runs *from, struct runs *to)
{
	for (size_t i = 0; i < from->n; i++)
		runs_push(to, from->p[i].at, image_hold(from->p[i].image));
}

void runs_fini(struct runs *r)
{
	for (size_t i = 0; i < r->n; i++)
		image_free(r->p[i].image);
	free(r->p);
	*r = (struct runs){ 0 };
}

const struct run *runs_find(const struct runs *r, size_t i)
{
	for (size_t k = 0; k < r->n; k++)
		if (i >= r->p[k].at && i < end_of(&r->p[k]))
			return &r->p[k];
	return NULL;
}

size_t runs_text(const struct runs *r, size_t i)
{
	for (size_t k = 0; k < r->n; k++)
		if (i < end_of(&r->p[k]))
			return i < r->p[k].at ? r->p[k].at - i : 0;
	return SIZE_MAX;
}

size_t runs_whole(const struct runs *r, size_t n)
{
	for (size_t k = 0; k < r->n; k++)
		if (n > r->p[k].at && n < end_of(&r->p[k]))
			return r->p[k].at;
	return n;
}

size_t runs_pos(const struct runs *r, size_t i)
{
	size_t pos = i;
	for (size_t k = 0; k < r->n && end_of(&r->p[k]) <= i; k++)
		pos -= r->p[k].image->n_tokens - r->p[k].image->n_pos;
	return pos;
}
