/* images.h - the pictures of one chat: out of its messages, into its prompt.
 *
 * A picture's part of a message becomes a mark that nobody can guess, so that
 * the template puts it where it belongs; where the mark comes out, the
 * picture's tokens go. Pictures are decoded and scaled on another thread. All
 * of it belongs to the loop thread. */
#pragma once
#include "base/json.h"
#include "llama/generate.h"

struct images;

/* Checks a part of type image_url; `where` is named in the message. */
must_use int images_check(const struct serve *s, const json_t *part,
			  const char *where, struct err *e);
/* Takes the pictures out of messages that were checked; *out is NULL if there
 * are none. -1: too many. */
must_use int images_take(struct serve *s, json_t *messages, struct images **out,
			 struct err *e);
/* Reads them; `done` comes once and never before this returned, unless they
 * are freed. */
typedef void (*images_done_fn)(void *ctx, const struct err *failure);
void images_read(struct images *im, images_done_fn done, void *ctx);
/* Once they are read: the tokens of a text with their marks. */
must_use int images_prompt(struct images *im, struct str text,
			   struct generate_prompt *out, struct err *e);
/* At any time. */
void images_free(struct images *im);
