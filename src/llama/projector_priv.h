/* projector_priv.h - between projector.c (the thread and its queue), image.c
 * and projector_mtmd.c, the only file that knows mtmd and is built where it is.
 */
#pragma once
#include "llama/image.h"
#include "llama/projector.h"

#include <pthread.h>

/* What only mtmd can do. */
struct projector_fns {
	int (*read)(struct projector *p, const struct picture *pic,
		    struct tokens *tokens, struct runs *runs, struct err *e);
	/* The embeddings of a chunk, borrowed until the next; NULL: failed.
	 * Asks projector_goes_on() now and then, and stops if it may. */
	const float *(*encode)(struct projector *p, void *chunk);
	void (*place)(const void *chunk, size_t pos, size_t k, int32_t out[4]);
	void (*free_chunk)(void *chunk);
	void (*close)(struct projector *p);
};

struct projector {
	const struct projector_fns *fns; /* NULL: was not opened */
	size_t width;			 /* floats of one token's embedding */
	struct mtmd_context *mtmd;	 /* owned */
	struct image *encoding;		 /* its thread's: now */
	double work;			 /* planned since it could be left */

	/* The mutex guards what is not atomic. */
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct list queue; /* image.link; each holds a reference */
	atomic_bool is_stopping;
	void (*wake)(void *ctx);
	void *ctx;
	pthread_t thread;
	bool has_thread;
};

/* Fills fns, width and mtmd; only where IMAGES is 1. */
must_use int projector_mtmd_open(struct projector *p,
				 const struct projector_options *o,
				 struct err *e);

/* Does anybody wait for what is being encoded? On its thread. */
bool projector_goes_on(const struct projector *p);

/* Of an image: not encoded, waiting for it, with embeddings, impossible. */
enum image_phase { IMAGE_RAW, IMAGE_QUEUED, IMAGE_DONE, IMAGE_BROKEN };

/* An image with one reference; the chunk becomes its own. */
struct image *image_new(struct projector *p, void *chunk);
