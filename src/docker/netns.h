/* netns.h - a network namespace with a name, made the way `ip netns` makes it,
 * so that every tool finds it.
 *
 * All of it works on the calling thread alone. */
#pragma once
#include "base/err.h"

enum netns_outcome { NETNS_ABSENT = 1 };

/* Holds the lock that `ip netns` takes too, until *lock is closed; also makes
 * the folder of the names. */
must_use int netns_lock(int *lock, struct err *e);
/* Creates it; what a crash left under this name is replaced. 0 too if it is
 * there. */
must_use int netns_make(const char *name, struct err *e);
/* The name goes now, the namespace with the last socket in it. 0 too if it is
 * not there. */
must_use int netns_remove(const char *name, struct err *e);
/* A descriptor of it, the caller's. May give NETNS_ABSENT. */
must_use int netns_open(const char *name, int *fd, struct err *e);
/* Goes into the namespace `fd`; *back gets the way back, for netns_leave(). */
must_use int netns_enter(int fd, int *back, struct err *e);
/* Goes back and closes `back`. That cannot fail, or nothing would be right any
 * more: it ends the program. */
void netns_leave(int back);
