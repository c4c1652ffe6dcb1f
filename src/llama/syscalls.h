/* syscalls.h - which system calls a worker may still make, told to the kernel
 * as a seccomp filter.
 *
 * It is a list of what is allowed. Serving a model takes some sixty calls; a
 * list of what is forbidden would have to name the other three hundred, and
 * each that a later kernel adds. What is not in the list "does not exist"
 * (ENOSYS), so that libraries fall back to older calls. A process of another
 * architecture's numbers (x32, i386) is killed. */
#pragma once
#include "base/err.h"

struct syscalls_options {
	bool has_gpu;	   /* drivers need devices, maps to execute, folders */
	bool is_sanitized; /* a sanitizer's own thread looks at the others */
};

/* From here on, in all threads: no sockets but those that are open, no program
 * to execute, no process to make or to look into, no file to write, no signal
 * but to itself, no change of anything that others share. */
must_use int syscalls_enter(const struct syscalls_options *o, struct err *e);
/* From here on no file can be opened either, in no thread. */
must_use int syscalls_seal(struct err *e);
