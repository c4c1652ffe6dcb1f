/* units.h - the units of modeld.target, by systemctl. Only for hosts where
 * systemd runs (connection.h). */
#pragma once
#include "base/err.h"

/* -1: they are not installed; *e says how to. */
must_use int units_check_installed(struct err *e);
/* Enables them and starts them; those for the Docker socket only if
 * `takes_socket`, else those are stopped. Fine when they run. */
must_use int units_start(bool takes_socket, struct err *e);
/* Stops them in their order and disables them. Fine when nothing runs. */
must_use int units_stop(struct err *e);
/* modeld itself: now, and at every boot. */
must_use int units_start_modeld(struct err *e);
