#include "cli/commands.h"
#include "cli/term.h"

#define HELP_BYTES 65536

int cmd_help(const struct cmd_line *in, struct err *e)
{
	const struct cmd *about = NULL;
	auto_buf struct buf page;
	buf_init(&page, HELP_BYTES);
	if (in->n_args && commands_find(in->args[0], &about, e))
		return -1;
	if (about ? cmd_put_help(about, &page) : commands_put_help(&page))
		return err_set(e, ERR_INTERNAL, "the help is too long");
	term_put(buf_str(&page));
	return 0;
}
