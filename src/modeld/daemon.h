/* daemon.h - builds everything, hands it down, runs the loop. */
#pragma once
#include "modeld/options.h"

/* Serves until SIGTERM or SIGINT and a drain. SIGHUP reads the options again,
 * from the same command line. */
must_use int daemon_run(struct options *o, int argc, char **argv,
			struct err *e);
