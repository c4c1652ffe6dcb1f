/* rundir.h - the folder of the workers' sockets: one for each modeld, which
 * nobody else may enter, and gone with it. */
#pragma once
#include "base/err.h"

struct rundir {
	char *path; /* owned; NULL: none */
	int lock;   /* owned; held as long as this modeld lives */
};

/* Makes one, and removes those that killed modelds left behind. */
must_use int rundir_make(struct rundir *out, struct err *e);
/* Removes it when it is empty. */
void rundir_fini(struct rundir *r);

/* All folders on the way to a file of ours; what fails shows when it is used.
 */
void rundir_make_parents(const char *path);
