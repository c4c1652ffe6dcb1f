/* connection_config.h - the settings that connect was given, in a file that
 * modeld-docker reads: so they hold after a reboot too.
 *
 * A file that connect made is known by its member "made_by", which has a digest
 * of the rest: one that somebody changed since is his, and stays. */
#pragma once
#include "base/err.h"
#include "base/json.h"

struct connection_change {
	const char *member;
	const char *value; /* NULL: not asked for, stays as it is */
};

enum connection_config_outcome { CONNECTION_CONFIG_SAME = 1 };

/* CONNECTION_CONFIG_SAME: all of them are there already. `is_dry` only looks.
 */
must_use int connection_config_set(const char *path,
				   const struct connection_change *changes,
				   size_t n, bool is_dry, struct err *e);
/* Removes a file that connect made; CONNECTION_CONFIG_SAME: there is none, or
 * it is somebody's own. */
must_use int connection_config_forget(const char *path, struct err *e);
