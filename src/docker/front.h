/* front.h - `modeld-docker front`: serves the Docker socket's clients. */
#pragma once
#include "docker/setup.h"

int front_run(const struct setup *s, struct err *e);
