/* shellwords.h - takes a line apart as a shell would: words between blanks, '
 * and " around what belongs together, \ before what is meant as it stands.
 * Nothing else of a shell: no variables, no patterns. Pure. */
#pragma once
#include "base/err.h"
#include "base/str.h"

/* Gets each word; -1 with *e set ends it. */
typedef int (*shellwords_fn)(void *ctx, struct str word, struct err *e);
must_use int shellwords_each(struct str line, shellwords_fn fn, void *ctx,
			     struct err *e);
