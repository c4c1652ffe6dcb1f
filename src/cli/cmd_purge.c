#include "cli/call.h"
#include "cli/commands.h"
#include "cli/confirm.h"

static int unload_all(struct call *c, struct err *e)
{
	auto_json *answer = NULL;
	return call_json(c, "POST", "/engines/unload",
			 STR("{\"all\":true,\"backend\":\"\",\"models\":null}"),
			 &answer, e);
}

int cmd_purge(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	int no = cmd_is_set(in, "force")
			 ? 0
			 : confirm_ask("WARNING! This will remove the entire "
				       "models directory.",
				       e);
	if (no)
		return no < 0 ? -1 : 0;
	if (call_open(&c, e) || unload_all(c, e))
		return -1;
	return call_stream(c,
			   &(struct call_request){ .method = "DELETE",
						   .path = "/models/purge" },
			   NULL, NULL, e);
}
