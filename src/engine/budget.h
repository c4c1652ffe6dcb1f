/* budget.h - how much memory models may take when no setting says so. */
#pragma once
#include "base/str.h"

/* Nine tenths of the machine's memory or of our control group's limit,
 * whichever is less. */
uint64_t budget_default(void);

/* The least limit from our group (version 2) up to the root, UINT64_MAX if
 * there is none. `mount` is /sys/fs/cgroup, `groups` the text of
 * /proc/self/cgroup. */
uint64_t budget_of_groups(const char *mount, struct str groups);
