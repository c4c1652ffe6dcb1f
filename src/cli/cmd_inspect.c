#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

/* Not here, or not there. */
static int no_such_model(const char *model, bool is_remote, struct err *e)
{
	struct err why = *e;
	if (is_remote)
		return err_set(e, ERR_NOT_FOUND,
			       "no such model in the registry: %s (%s)", model,
			       why.msg);
	return err_set(e, ERR_NOT_FOUND,
		       "no such model: %s; 'docker model list' shows those "
		       "that are here",
		       model);
}

int cmd_inspect(const struct cmd_line *in, struct err *e)
{
	const char *model = in->args[0];
	bool is_remote = cmd_is_set(in, "remote");
	auto_(call) c = NULL;
	auto_json *answer = NULL;
	auto_free char *name = call_escape(model);
	auto_free char *path =
		xasprintf(cmd_is_set(in, "openai") ? "/engines/v1/models/%s"
			  : is_remote		   ? "/models/%s?remote=true"
						   : "/models/%s",
			  name);
	if (is_remote && cmd_is_set(in, "openai"))
		return err_set(e, ERR_USAGE,
			       "--remote flag cannot be used with --openai "
			       "flag");
	if (call_open(&c, e))
		return -1;
	if (call_json(c, "GET", path, STR(""), &answer, e)) {
		if (e->code != ERR_NOT_FOUND)
			return err_wrap(e, "inspect %s", model);
		return no_such_model(model, is_remote, e);
	}
	term_put_json(answer);
	return 0;
}
