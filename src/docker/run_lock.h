/* run_lock.h - One `modeld-docker run` at a time (run.lock), and who it is
 * (run.pid). */
#pragma once
#include "docker/setup.h"

struct run_lock {
	char *path; /* owned: run.pid, in the folder of the front's socket */
	char *settings; /* owned: run.json, the settings for the children */
	char *lock;	/* owned: run.lock; only root can open it, so only root
			   can hold it */
	int fd;
};

/* ERR_CONFLICT, with the process's number, if one runs. */
must_use int run_lock_get(struct run_lock *l, const struct setup *s,
			  struct err *e);
/* Removes the files. */
void run_lock_drop(struct run_lock *l);
