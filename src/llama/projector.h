/* projector.h - makes embeddings of pictures, by a model's second file
 * (mmproj) and llama.cpp's library mtmd.
 *
 * A thread of its own encodes, one image after the other, so that answers go on
 * meanwhile. An image is encoded when the compute thread first needs it, and
 * not at all if the cache has what it gave. Images are counted references and
 * outlive the request that brought them; the projector outlives them. */
#pragma once
#include "base/list.h"
#include "llama/picture.h"
#include "llama/tokens.h"

#include <stdatomic.h>

struct image;
struct projector;
struct runs;
struct weights;

struct projector_options {
	const char *path;
	const struct weights *weights; /* must outlive it */
	int threads;
	bool has_gpu;
};

/* Is this modeld-llama built with mtmd? */
bool projector_is_built(void);
/* -1: ERR_NOT_FOUND or ERR_CORRUPT (the file), ERR_UNSUPPORTED (it does not go
 * with the model, or mtmd is not there). */
must_use int projector_open(const struct projector_options *o,
			    struct projector **out, struct err *e);
/* Waits for the image that is being encoded. */
void projector_free(struct projector *p);
/* Called on its thread whenever an image is done. */
void projector_set_wake(struct projector *p, void (*fn)(void *ctx), void *ctx);

/* Appends what stands for the picture in a prompt: tokens, and for each image
 * of it a run of -1. Any thread; takes as long as to scale the picture. -1:
 * ERR_INVALID. */
must_use int projector_read(struct projector *p, const struct picture *pic,
			    struct tokens *tokens, struct runs *runs,
			    struct err *e);

/* ---- one image ---- */

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
size_t projector_width(const struct projector *p);
