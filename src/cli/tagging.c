#include "cli/tagging.h"

int tagging_tag(struct call *c, const char *model, const struct ref *name,
		struct err *e)
{
	auto_json *answer = NULL;
	auto_free char *from = call_escape(model);
	auto_free char *path =
		xasprintf("/models/%s/tag?repo=%s/%s&tag=%s", from,
			  name->registry, name->repository, name->tag);
	return call_json(c, "POST", path, STR(""), &answer, e);
}
