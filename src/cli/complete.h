/* complete.h - what may come next on a half-typed command line.
 *
 * Speaks the protocol that Docker's CLI and its shell scripts know from cobra:
 * a candidate a line, with its help after a tab, and last a line ":N" that says
 * whether file names may follow. */
#pragma once
#include "base/buf.h"

/* Appends one name a line; called only where a model is expected. */
typedef void (*complete_models_fn)(struct buf *out);

/* `words` is what was typed after the program, the last one being the one to
 * complete (it may be empty). */
must_use int complete_put(int n, char *const words[], bool with_help,
			  complete_models_fn models, struct buf *out);
/* The script that makes a shell ask `docker-model __complete`; NULL if the
 * shell is not one of bash, zsh and fish. */
const char *complete_script(const char *shell);
