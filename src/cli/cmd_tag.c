#include "cli/commands.h"
#include "cli/modelname.h"
#include "cli/tagging.h"
#include "cli/term.h"

int cmd_tag(const struct cmd_line *in, struct err *e)
{
	const char *source = in->args[0], *target = in->args[1];
	struct ref to;
	auto_(call) c = NULL;
	/* The server wants the name whole; a wrong one is told here. */
	if (modelname_parse(target, &to, e))
		return -1;
	if (call_open(&c, e))
		return -1;
	if (tagging_tag(c, source, &to, e))
		return err_wrap(e, "tag %s", source);
	term_printf("Model \"%s\" tagged successfully with \"%s\"\n", source,
		    target);
	return 0;
}
