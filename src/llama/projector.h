/* projector.h - makes embeddings of pictures, by a model's second file
 * (mmproj) and llama.cpp's library mtmd.
 *
 * A thread of its own encodes, one image after the other, so that answers go on
 * meanwhile, and leaves one for which nobody waits any more. It outlives its
 * images (image.h). */
#pragma once
#include "llama/picture.h"
#include "llama/tokens.h"

#include <stdbool.h>

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
/* What is being encoded is left at its next step. */
void projector_free(struct projector *p);
/* Called on its thread whenever an image is done. */
void projector_set_wake(struct projector *p, void (*fn)(void *ctx), void *ctx);

/* Appends what stands for the picture in a prompt: tokens, and for each image
 * of it a run of -1. Any thread; takes as long as to scale the picture. -1:
 * ERR_INVALID. */
must_use int projector_read(struct projector *p, const struct picture *pic,
			    struct tokens *tokens, struct runs *runs,
			    struct err *e);
/* Floats of one token's embedding. */
size_t projector_width(const struct projector *p);
