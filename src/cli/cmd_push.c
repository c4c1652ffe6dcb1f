#include "cli/commands.h"
#include "cli/pushing.h"

int cmd_push(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	if (call_open(&c, e))
		return -1;
	if (pushing_run(c, in->args[0], stdout, e))
		return err_wrap(e, "push %s", in->args[0]);
	return 0;
}
