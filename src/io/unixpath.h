/* unixpath.h - Unix sockets by the path of their file. Blocks for a moment. */
#pragma once
#include "base/err.h"

/* Connects at once or not at all; the descriptor is the caller's, non-blocking.
 * ERR_REFUSED: nobody is there. */
must_use int unixpath_connect(const char *path, int *out, struct err *e);
/* Binds a new socket to the path, with the file's mode set before anybody can
 * connect; it does not listen yet. A file that a killed program left is
 * replaced; a live one, or one that is no socket, is ERR_CONFLICT. */
must_use int unixpath_bind(const char *path, int mode, int *out, struct err *e);
