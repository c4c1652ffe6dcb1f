/* image.h - a picture, or a part of one, as a projector takes it.
 *
 * It is encoded when the compute thread first needs it, and not at all if the
 * cache has what it gave. References are counted, since a prompt may have
 * several answers, and who asked may go while it is encoded. */
#pragma once
#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct projector;

struct image {
	size_t n_tokens;
	size_t n_pos;  /* positions that it takes up */
	bool is_whole; /* its tokens see each other: computed at once */
	struct projector *projector;
	void *chunk; /* owned; mtmd's */
	atomic_uint refs;
	atomic_int phase;
	float *embeddings; /* owned; once its phase says that they are there */
	struct list link;  /* in the projector's queue */
};

struct image *image_hold(struct image *i);
void image_free(struct image *i);

enum image_ready { IMAGE_READY, IMAGE_WAIT, IMAGE_FAILED };
/* Its embeddings, projector_width() floats a token; borrowed until
 * image_drop(), and then made again. Compute thread. */
enum image_ready image_embeddings(struct image *i, const float **out);
void image_drop(struct image *i);
/* Where token k of it stands, when its first stands at pos: time, y, x, z. */
void image_place(const struct image *i, size_t pos, size_t k, int32_t out[4]);
