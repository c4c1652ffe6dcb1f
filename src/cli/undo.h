/* undo.h - takes away what connects modeld to Docker, whatever there is of it:
 * also half of it, also after its processes were killed. */
#pragma once
#include "base/err.h"

struct connection;

/* Stops what runs, then has modeld-docker clean up; prints what it did. */
must_use int undo_all(struct connection *c, bool is_dry, struct err *e);
