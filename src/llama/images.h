/* images.h - the pictures of one chat: out of its messages, into its prompt.
 *
 * A picture's part of a message becomes a mark that nobody can guess, so that
 * the template puts it where it belongs; where the mark comes out, the
 * picture's tokens go. Belongs to whoever has the request, its job or the loop
 * thread; images_read() takes as long as decoding and scaling does. */
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
/* Reads them, one after the other, while the job's client is there. */
must_use int images_read(struct images *im, const struct prepare_job *job,
			 struct err *e);
/* Once they are read: the tokens of a text with their marks. */
must_use int images_prompt(struct images *im, struct str text,
			   struct generate_prompt *out, struct err *e);
void images_free(struct images *im);
