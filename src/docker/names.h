/* names.h - `modeld-docker names`: every container, every build step and the
 * host itself know modeld by its name, through their hosts files.
 *
 * `names` follows them until it is ended, and then takes its lines out again;
 * `names remove` takes out what a killed one left. */
#pragma once
#include "base/err.h"

struct setup;

must_use int names_run(const struct setup *s, struct err *e);
