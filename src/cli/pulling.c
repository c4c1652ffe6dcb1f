#include "cli/pulling.h"
#include "cli/moving.h"

/* The user's token for Hugging Face, which is no registry's business. */
static const char *hub_token(const char *model)
{
	static const char *const hubs[] = { "hf.co/", "huggingface.co/" };
	const char *token = getenv("HF_TOKEN");
	for (size_t i = 0; i < ARRAY_LEN(hubs); i++)
		if (str_eq_nocase(str_head(str_of(model), strlen(hubs[i])),
				  hubs[i]))
			return token && token[0] ? token : NULL;
	return NULL;
}

int pulling_run(struct call *c, const char *model, FILE *out, struct err *e)
{
	auto_json *request = json_pack("{s:s}", "from", model);
	if (!request)
		return err_set(e, ERR_USAGE, "the name is not UTF-8");
	const char *token = hub_token(model);
	if (token &&
	    json_object_set_new(request, "bearer-token", json_string(token)))
		return err_set(e, ERR_USAGE, "HF_TOKEN is not UTF-8");
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
