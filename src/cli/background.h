/* background.h - a program that goes on after us, where no systemd starts it:
 * in a session of its own, its output in a log file. */
#pragma once
#include "base/err.h"

/* argv[0] is a path, argv ends in NULL; "--ready-fd N" is added. Waits until
 * the program says that it is ready. -1: it ended before, or took too long and
 * was ended; *e has its last line. */
must_use int background_start(const char *const argv[], const char *log,
			      unsigned limit_ms, struct err *e);
/* SIGTERM, and waits until it is gone; after `limit_ms` SIGKILL. */
must_use int background_stop(int pid, unsigned limit_ms, struct err *e);
