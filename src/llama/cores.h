/* cores.h - how much of the machine this process may use. */
#pragma once
#include "base/str.h"

/* Opens the kernel's files that the functions below read, and keeps them open
 * for a process that will not be able to. */
void cores_open(void);
/* Processors this process may run on: its affinity mask, and no more than the
 * CPU quota of its control group rounds up to. At least 1. */
int cores_usable(void);
/* Bytes of memory that can still be taken: what the system has available, and
 * no more than the control group leaves. */
uint64_t cores_memory_bytes(void);
/* "150000 100000" (cpu.max) gives 2; 0 for "max" or anything else. Pure. */
int cores_from_quota(struct str cpu_max);
