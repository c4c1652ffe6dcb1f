/* runs.h - where in a prompt's tokens pictures stand.
 *
 * A picture, or a part of one, is a run of equal negative numbers in struct
 * tokens, a number for each picture that there is, so that prompts compare as
 * they are. Its state is computed from embeddings in place of tokens, and may
 * move the position by less than it has tokens (M-RoPE). Runs are in order and
 * do not overlap. Plain values; each holds its image (image.h). */
#pragma once
#include "base/base.h"

struct image;

struct run {
	size_t at;
	struct image *image; /* owned: one reference */
};

struct runs {
	struct run *p; /* owned */
	size_t n;
};

/* The reference becomes the run's. */
void runs_push(struct runs *r, size_t at, struct image *image);
void runs_copy(const struct runs *from, struct runs *to);
void runs_fini(struct runs *r);

/* The run that token i lies in; NULL: it is text. */
const struct run *runs_find(const struct runs *r, size_t i);
/* How many tokens of text there are from i on; SIZE_MAX: no run comes. */
size_t runs_text(const struct runs *r, size_t i);
/* The most tokens, n at most, that cut no run. */
size_t runs_whole(const struct runs *r, size_t n);
/* The position of token i, which lies in no run or begins one. */
size_t runs_pos(const struct runs *r, size_t i);
