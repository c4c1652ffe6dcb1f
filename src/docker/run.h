/* run.h - `modeld-docker run`: on hosts without systemd, all commands that
 * bring modeld to Docker, kept running under one roof, and undone at its end.
 *
 * It holds the front's listening socket, so that clients wait while the front
 * is started anew; a front that cannot start loses the Docker socket's name at
 * once. run.pid beside the socket is locked as long as it runs. */
#pragma once
#include "docker/setup.h"

int run_run(const struct setup *s, struct err *e);
