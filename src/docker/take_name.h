/* take_name.h - whose the Docker socket's name is, and giving it from one to
 * the other: by hard links alone, so that nobody restarts and no socket closes.
 *
 *   name    /run/docker.sock         what clients connect to
 *   engine  /run/docker-engine.sock  the Engine's socket, while we have `name`
 *   ours    the front's own socket
 *   mark    a link to the one of ours that has `name`: it is known even when
 *           the front has made another since, or the one it had is gone
 *
 * A new socket takes the place of the old in one system call, and what lay
 * there is looked at after: an Engine that made its socket anew in between
 * loses nothing. All of it may be done again at any time, after any crash. */
#pragma once
#include "docker/setup.h"

struct take_name {
	char *name, *engine, *ours, *mark, *fresh; /* owned */
};

enum take_outcome {
	TAKE_ALREADY = 1, /* it is ours, nothing to do */
	TAKE_NO_ENGINE,	  /* there is no socket to take */
	TAKE_LOST,	  /* it is ours, and the Engine's has no name */
};

/* -1: a folder is missing, or others than root may write there. Ended with
 * take_name_fini() in every case. */
must_use int take_name_init(struct take_name *n, const struct setup *s,
			    struct err *e);
void take_name_fini(struct take_name *n);

/* Does anybody accept there? */
bool take_name_is_alive(const char *path);
/* Is it ours, as far as the files tell? Cheap. */
bool take_name_is_ours(const struct take_name *n);
/* The name becomes ours, and our socket gets the Engine's owner and mode. */
must_use int take_name_take(const struct take_name *n, struct err *e);
/* The name is the Engine's again, and no other file of ours is left. The front
 * finds it there. */
must_use int take_name_release(const struct take_name *n, struct err *e);
