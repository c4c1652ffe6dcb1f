/* places.h - where the hosts files of Docker lie below its data folder.
 *
 *   <root>/containers/ID/hosts        a container's
 *   <root>/buildkit/executor/hosts*   of BuildKit's steps
 *
 * The path that `docker inspect` tells is never used: it may be a user's own
 * file. Below these folders no link is followed. */
#pragma once
#include "docker/hosts_file.h"

#define PLACES_CONTAINERS "containers"
#define PLACES_BUILDKIT "buildkit"
#define PLACES_EXECUTOR "executor" /* in that of BuildKit */

/* Is this a container's folder (64 hexadecimal digits)? */
bool places_is_container(const char *name);
/* Is this a hosts file among BuildKit's files, and not one half written? */
bool places_is_step(const char *name);

/* Opens a folder in `dir` (AT_FDCWD for a path); -1 and errno if it cannot. The
 * descriptor is good for *at() and fstat() only. */
int places_open(int dir, const char *name, bool follows_links);

/* Calls `fn` for every name in the folder that `accept` likes. */
void places_each(int dir, bool (*accept)(const char *name),
		 void (*fn)(void *ctx, int dir, const char *name), void *ctx);

/* The hosts file of the container `id`; `dir` is the folder of all containers.
 * May give HOSTS_FILE_ABSENT, also when the container is gone. */
must_use int places_apply(int dir, const char *id, const struct hosts_rule *r,
			  struct hosts_file_look *out, struct err *e);

struct places_count {
	size_t files, changed, failed;
};
/* Applies a rule once to every file below `root`. Failures are logged; a file
 * that is too large is none of `failed`. */
struct places_count places_once(const char *root, const struct hosts_rule *r);
