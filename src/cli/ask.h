/* ask.h - asks one model, and shows its answer on stdout while it comes. */
#pragma once
#include "cli/call.h"
#include "cli/talk.h"

struct ask {
	const char *model; /* borrowed */
	struct talk talk;
	struct call *call;  /* owned */
	const char *path;   /* of chat/completions */
	struct buf preload; /* the body under way of ask_begin_preload() */
	struct call_request preload_request;
};

/* `url` NULL: our own server. */
must_use int ask_open(struct ask *a, const char *model, const char *url,
		      struct err *e);
void ask_close(struct ask *a);

/* Is the model there? -1 says so, and what to do. */
must_use int ask_check(struct ask *a, struct err *e);
/* After one of these failed with *e: if that was because the model is not
 * there, it is pulled (which is shown on stderr), and 0 says to try again. */
must_use int ask_fetch(struct ask *a, struct err *e);
/* Loads the model, and waits for it. */
must_use int ask_preload(struct ask *a, struct err *e);
/* The same without waiting, while a person thinks of what to ask; a failure
 * shows when that comes. */
void ask_begin_preload(struct ask *a);

enum ask_outcome { ASK_INTERRUPTED = 1 };

/* Adds both question and answer to the talk; a question without an answer is
 * forgotten. ASK_INTERRUPTED, if that is allowed: Ctrl-C ended the answer. */
must_use int ask_question(struct ask *a, struct str text, bool is_interruptible,
			  struct err *e);
