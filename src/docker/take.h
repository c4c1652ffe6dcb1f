/* take.h - `modeld-docker take` and `release`: the front gets the name of the
 * Docker socket, and the Engine gets it back.
 *
 * Taken only while the front works (take_probe.h): when it does not answer for
 * a second, the name is released, and taken again once it has answered for a
 * while. An Engine that starts anew makes its socket anew: taken again. */
#pragma once
#include "docker/setup.h"

int take_run(const struct setup *s, struct err *e);
int take_release(const struct setup *s, struct err *e);
