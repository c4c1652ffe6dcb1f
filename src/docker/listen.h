/* listen.h - modeld-docker listen: gives modeld what only root can have.
 *
 * The sockets in the namespace and at docker0's gateway, the names of the
 * bridges that connections may come by, and who a caller is. Meanwhile it keeps
 * the way in as it shall be (keeper.h). */
#pragma once
#include "base/err.h"

struct setup;

must_use int listen_run(const struct setup *s, struct err *e);
