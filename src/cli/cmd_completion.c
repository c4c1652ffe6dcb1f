#include "cli/commands.h"
#include "cli/complete.h"
#include "cli/term.h"

int cmd_completion(const struct cmd_line *in, struct err *e)
{
	const char *script = complete_script(in->args[0]);
	if (!script)
		return err_set(e, ERR_USAGE,
			       "no completion for '%s'; there is bash, zsh and "
			       "fish",
			       in->args[0]);
	term_put(str_of(script));
	return 0;
}
