/* tool.h - runs another program and waits: systemctl, iptables, our own.
 *
 * Its output is kept up to a ceiling, and it does not run for longer than a
 * given time. Nothing is given to a shell. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum tool_outcome {
	TOOL_FAILED = 1, /* it ran, and its exit status is not 0 */
	TOOL_ABSENT,	 /* there is no such program */
};

/* argv ends in NULL; a name without '/' is looked for in PATH and where root's
 * programs lie. stdout and stderr go to `out`, which the caller has initialised
 * (what does not fit is dropped), or nowhere if it is NULL. */
must_use int tool_run(const char *const argv[], unsigned limit_ms,
		      struct buf *out, struct err *e);
/* The path of a program of ours: beside this one (a build folder, bin), or in
 * ../libexec/modeld. NULL if it is in neither; the caller frees it. */
char *tool_find_own(const char *name) must_use;
/* The last line of `text` that is not empty, less white space. */
struct str tool_last_line(struct str text);
