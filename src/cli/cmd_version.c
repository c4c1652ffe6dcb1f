#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

#include <sys/utsname.h>

/* Go's names for what uname calls x86_64 and so on. */
static const char *architecture(const char *machine)
{
	if (!strcmp(machine, "x86_64"))
		return "amd64";
	return strcmp(machine, "aarch64") ? machine : "arm64";
}

int cmd_version(const struct cmd_line *in, struct err *e)
{
	struct utsname u = { 0 };
	struct err why;
	auto_(call) c = NULL;
	auto_json *answer = NULL;
	struct str version = STR("(unknown)");
	(void)in;
	uname(&u);
	term_printf("Client:\n Version:    %s\n OS/Arch:    linux/%s\n\n"
		    "Server:\n",
		    MODELD_VERSION, architecture(u.machine));
	if (call_open(&c, e))
		return -1;
	/* A server that is not there is what this command may show. */
	if (call_json(c, "GET", "/version", STR(""), &answer, &why) ||
	    json_get_str(answer, "version", &version, &why))
		version = STR("(not reachable)");
	term_printf(" Version:    %.*s\n Engine:     %s\n", STR_ARG(version),
		    where_engine(call_where(c)));
	return 0;
}
