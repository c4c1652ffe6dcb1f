/* talk.h - a conversation: what was said so far, and the request for the next
 * answer. Kept as JSON text, so that a request is one copy. Pure. */
#pragma once
#include "base/buf.h"

struct talk {
	struct buf messages; /* JSON objects, each with a comma before it */
	struct buf options;  /* members of the request, likewise */
	char *system;	     /* owned; NULL: none */
};

void talk_init(struct talk *t);
void talk_fini(struct talk *t);

/* A member for every request: its value is a number or other JSON. */
must_use int talk_set(struct talk *t, const char *name, const char *value);
/* NULL or "" takes it away. */
void talk_set_system(struct talk *t, const char *text);
/* `role` is "user" or "assistant". BUF_FULL: the conversation is too long. */
must_use int talk_add(struct talk *t, const char *role, struct str text);
/* How much was said; and back to there. 0 forgets it all. */
size_t talk_mark(const struct talk *t);
void talk_forget(struct talk *t, size_t mark);
/* The body for chat/completions, streamed. */
must_use int talk_put_request(const struct talk *t, const char *model,
			      struct buf *out);
