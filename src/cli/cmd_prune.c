#include "cli/call.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/human.h"
#include "cli/term.h"

int cmd_prune(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	auto_json *answer = NULL;
	char size[HUMAN_BYTES];
	int64_t bytes = 0;
	size_t i;
	json_t *id;
	int no = cmd_is_set(in, "force")
			 ? 0
			 : confirm_ask("WARNING! This will remove all models "
				       "without a name, and what no model "
				       "needs.",
				       e);
	if (no)
		return no < 0 ? -1 : 0;
	if (call_open(&c, e) ||
	    call_json(c, "POST", "/models/prune", STR(""), &answer, e) ||
	    json_get_int(answer, "reclaimed_bytes", 0, INT64_MAX, &bytes, e))
		return -1;
	json_array_foreach(json_object_get(answer, "deleted"), i, id)
	{
		if (json_is_string(id))
			term_printf("Deleted: %s\n", json_string_value(id));
	}
	human_size((double)bytes, size);
	term_printf("Total reclaimed space: %s\n", size);
	return 0;
}
