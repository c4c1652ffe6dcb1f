/* landlock.h - the kernel's Landlock: files and networks that this process
 * gives up for good.
 *
 * What a kernel offers depends on its version (the "ABI"): 1, Linux 5.13, is
 * files; 4 adds TCP; 5 device calls; 6 signals and abstract Unix sockets. */
#pragma once
#include "base/err.h"

/* The version here; 0 if the kernel has none or has it turned off. */
int landlock_abi(void);

enum landlock_access {
	LANDLOCK_READ,	 /* a file, or all files below a folder */
	LANDLOCK_DEVICE, /* a device, or all below a folder: open, ioctl */
};

struct landlock_rule {
	const char *path;
	enum landlock_access access;
};

/* Leaves the calling thread, and those that it makes later, nothing but the
 * files of these rules; a path that is not there is left out. Needs
 * no_new_privs or privileges. */
must_use int landlock_enter(int abi, const struct landlock_rule *rules,
			    size_t n, struct err *e);
