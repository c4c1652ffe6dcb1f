/* lineedit.h - a line from a person at a terminal, with editing and a history
 * that outlives the program (libedit).
 *
 * Blocks while it reads. Lines are UTF-8. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct lineedit;

/* Reads stdin; `history_file` (NULL: none) keeps the last lines. */
must_use int lineedit_open(const char *history_file, struct lineedit **out,
			   struct err *e);
/* Gives the terminal back as it was. */
void lineedit_free(struct lineedit *l);
BASE_AUTO(lineedit);

enum lineedit_outcome {
	LINEEDIT_END = 1, /* Ctrl-D, or the terminal is gone */
	LINEEDIT_INTERRUPT,
};

/* *line lives until the next call and has no newline. */
must_use int lineedit_read(struct lineedit *l, const char *prompt,
			   struct str *line);
/* Did more come together with this line: is it a piece of a paste? */
bool lineedit_is_pending(void);
/* Puts a line into the history; what cannot be saved is kept for this run. */
void lineedit_remember(struct lineedit *l, struct str line);
