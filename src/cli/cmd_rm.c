#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

static int remove_one(struct call *c, const char *model, bool force,
		      struct err *e)
{
	auto_json *steps = NULL;
	auto_free char *name = call_escape(model);
	auto_free char *path = xasprintf("/models/%s?force=%s", name,
					 force ? "true" : "false");
	size_t i;
	json_t *step, *value;
	const char *what;
	if (call_json(c, "DELETE", path, STR(""), &steps, e)) {
		if (e->code == ERR_NOT_FOUND)
			return err_set(e, ERR_NOT_FOUND,
				       "no such model: %s; 'docker model list' "
				       "shows those that are here",
				       model);
		if (e->code == ERR_CONFLICT && !force)
			return err_wrap(e,
					"remove %s (--force removes all its "
					"names)",
					model);
		return err_wrap(e, "remove %s", model);
	}
	json_array_foreach(steps, i, step)
	{
		json_object_foreach(step, what, value)
		{
			if (json_is_string(value))
				term_printf("%s: %s\n", what,
					    json_string_value(value));
		}
	}
	return 0;
}

int cmd_rm(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	if (call_open(&c, e))
		return -1;
	for (size_t i = 0; i < in->n_args; i++)
		if (remove_one(c, in->args[i], cmd_is_set(in, "force"), e))
			return -1;
	return 0;
}
