#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/connection_config.h"
#include "cli/process.h"
#include "cli/term.h"
#include "cli/undo.h"

#include <unistd.h>

static void say_modeld(const struct connection *c)
{
	struct process p;
	struct err unused;
	if (process_behind(c->modeld, &p, &unused) == 0)
		term_printf("modeld          goes on%s\n",
			    c->has_systemd ? "; 'systemctl disable --now "
					     "modeld' ends it"
					   : "");
}

int cmd_disconnect(const struct cmd_line *in, struct err *e)
{
	__attribute__((cleanup(connection_fini))) struct connection c = { 0 };
	bool is_dry = cmd_is_set(in, "dry-run");
	if (!is_dry && geteuid() != 0)
		return err_set(e, ERR_FORBIDDEN,
			       "disconnect must be root: sudo docker model "
			       "disconnect");
	int got = connection_read(&c, e);
	if (got == CONNECTION_ABSENT)
		return err_set(e, ERR_NOT_FOUND,
			       "modeld-docker is not installed beside this "
			       "program; docs/connecting.md has the undo by "
			       "hand");
	if (got < 0) {
		term_printf("settings        %s; the defaults are undone\n",
			    e->msg);
		connection_fini(&c);
		got = connection_read_defaults(&c, e);
	}
	if (got || undo_all(&c, is_dry, e))
		return -1;
	if (is_dry)
		return 0;
	got = connection_config_forget(CONNECTION_CONFIG, e);
	if (got < 0)
		return -1;
	if (got == 0)
		term_printf("settings        " CONNECTION_CONFIG
			    " is removed\n");
	say_modeld(&c);
	return 0;
}
