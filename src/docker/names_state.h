/* names_state.h - what the follower of hosts files remembers from one start to
 * the next: where Docker's data are, so that it follows the right folder before
 * the Engine is up, and which lines it may have written, so that those of a
 * killed one are known. */
#pragma once
#include "base/err.h"
#include "base/limits.h"

#define NAMES_STATE_FILE "/var/lib/modeld-docker/names.json"

struct names_state {
	/* Owned; NULL: not known. */
	char *root;
	char *name;
	/* Every address that lines may have, up to a NULL. */
	char *addresses[LIMIT_HOSTS_FORMER + 1];
};

/* Nothing is known if there is no file, or none that can be understood. */
void names_state_read(struct names_state *st);
void names_state_fini(struct names_state *st);
/* Adds it unless it is there; the oldest goes if there are too many. */
void names_state_add(struct names_state *st, const char *address);
must_use int names_state_write(const struct names_state *st, struct err *e);
void names_state_remove(void);
