#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

int cmd_inspect(const struct cmd_line *in, struct err *e)
{
	const char *model = in->args[0];
	auto_(call) c = NULL;
	auto_json *answer = NULL;
	auto_free char *name = call_escape(model);
	auto_free char *path =
		xasprintf(cmd_is_set(in, "openai") ? "/engines/v1/models/%s"
						   : "/models/%s",
			  name);
	if (call_open(&c, e))
		return -1;
	if (call_json(c, "GET", path, STR(""), &answer, e)) {
		if (e->code != ERR_NOT_FOUND)
			return err_wrap(e, "inspect %s", model);
		return err_set(e, ERR_NOT_FOUND,
			       "no such model: %s; 'docker model list' shows "
			       "those that are here",
			       model);
	}
	term_put_json(answer);
	return 0;
}
