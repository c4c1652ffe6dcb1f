/* process.h - the process behind a Unix socket, and how it was started.
 *
 * Read from the kernel, now: the process may be another one the next moment. */
#pragma once
#include "base/err.h"

struct process {
	int pid; /* 0: in a PID namespace that we do not see */
	unsigned uid;
};

enum process_outcome { PROCESS_NONE = 1 };

/* Who listens at this path; PROCESS_NONE: nobody. */
must_use int process_behind(const char *socket, struct process *out,
			    struct err *e);
/* Was it started with "--flag"? With this variable, not empty? False also
 * where we may not look. */
bool process_has_flag(int pid, const char *flag);
bool process_has_variable(int pid, const char *name);
