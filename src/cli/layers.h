/* layers.h - what the server tells of a pull or push, an event a line, as a
 * person likes to see it: a bar for each layer on a terminal, else a line for
 * each step. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>

struct layer_shown;
struct layers_words;

struct layers {
	FILE *out;
	bool is_tty;
	int columns;	 /* of the terminal */
	struct buf line; /* of the server's answer, not yet whole */
	const struct layers_words *words; /* of a pull until an event says */
	struct layer_shown *all;	  /* owned */
	size_t n;
	size_t drawn; /* lines that stand on the terminal */
	uint64_t total;
	char *message; /* owned; the server's last word, or NULL */
	char *told;    /* owned; the last line without a terminal */
};

void layers_init(struct layers *l, FILE *out);
void layers_fini(struct layers *l);
/* A call_piece_fn; `ctx` is the layers. ERR_INTERNAL: the server says that it
 * failed; ERR_UNAVAILABLE: and that it may pass. */
must_use int layers_feed(void *ctx, struct str piece, struct err *e);
/* The answer is over. -1: it did not end well, and nobody said why. */
must_use int layers_end(struct layers *l, struct err *e);
/* How many bytes the server has told to be there. */
uint64_t layers_there(const struct layers *l);
