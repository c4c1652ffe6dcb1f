#include "cli/pulling.h"
#include "cli/moving.h"

int pulling_run(struct call *c, const char *model, FILE *out, struct err *e)
{
	auto_json *request = json_pack("{s:s}", "from", model);
	if (!request)
		return err_set(e, ERR_USAGE, "the name is not UTF-8");
	auto_free char *body = json_text(request);
	struct moving m = { .path = "/models/create",
			    .body = str_of(body),
			    .noun = "download" };
	if (moving_run(c, &m, out, e) == 0)
		return 0;
	if (e->code == ERR_UNSUPPORTED)
		err_wrap(e, "this model cannot be run here (a newer modeld may "
			    "know it)");
	return -1;
}
