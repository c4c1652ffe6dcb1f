#include "cli/commands.h"
#include "cli/pulling.h"

int cmd_pull(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	if (call_open(&c, e))
		return -1;
	if (pulling_run(c, in->args[0], stdout, e))
		return err_wrap(e, "pull %s", in->args[0]);
	return 0;
}
