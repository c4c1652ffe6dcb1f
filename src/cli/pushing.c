#include "cli/pushing.h"
#include "cli/moving.h"

int pushing_run(struct call *c, const char *model, FILE *out, struct err *e)
{
	auto_free char *name = call_escape(model);
	auto_free char *path = xasprintf("/models/%s/push", name);
	struct moving m = { .path = path, .noun = "upload" };
	return moving_run(c, &m, out, e);
}
