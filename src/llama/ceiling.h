/* ceiling.h - how much memory this process may take beside the files that it
 * only reads, held by the kernel (RLIMIT_DATA). Without it a model that makes
 * llama.cpp allocate without end takes the machine's. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Once, and before other threads: for ever. From then on who aborts for want of
 * memory says so and ends with ERR_EXIT_MEMORY. */
void ceiling_set(uint64_t bytes);
/* Is there a ceiling, and as good as nothing left below it? Any thread. */
bool ceiling_is_near(void);
/* Says of a failure for want of memory which ceiling that met. */
void ceiling_explain(struct err *e);
