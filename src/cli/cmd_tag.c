#include "cli/call.h"
#include "cli/commands.h"
#include "cli/modelname.h"
#include "cli/term.h"

int cmd_tag(const struct cmd_line *in, struct err *e)
{
	const char *source = in->args[0], *target = in->args[1];
	struct ref to;
	auto_(call) c = NULL;
	auto_json *answer = NULL;
	/* The server wants the name whole; a wrong one is told here. */
	if (modelname_parse(target, &to, e))
		return -1;
	auto_free char *from = call_escape(source);
	auto_free char *path =
		xasprintf("/models/%s/tag?repo=%s/%s&tag=%s", from, to.registry,
			  to.repository, to.tag);
	if (call_open(&c, e))
		return -1;
	if (call_json(c, "POST", path, STR(""), &answer, e))
		return err_wrap(e, "tag %s", source);
	term_printf("Model \"%s\" tagged successfully with \"%s\"\n", source,
		    target);
	return 0;
}
