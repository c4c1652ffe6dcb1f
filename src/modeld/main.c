#include "modeld/daemon.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	struct options o;
	struct err e;
	int got = options_read(&o, argc, argv, &e);
	if (got == 0) {
		log_init("modeld", o.log_level);
		got = daemon_run(&o, argc, argv, &e);
	}
	options_fini(&o);
	if (got >= 0)
		return 0;
	fprintf(stderr, "modeld: %s\n", e.msg);
	return err_exit_status(e.code);
}
