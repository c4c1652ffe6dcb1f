#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

/* {"all":...,"backend":"...","models":[...]} */
static char *request(const struct cmd_line *in)
{
	const char *backend = cmd_text(in, "backend");
	auto_json *models = json_array();
	for (size_t i = 0; i < in->n_args; i++)
		json_array_append_new(models, json_string(in->args[i]));
	auto_json *body =
		json_pack("{s:b,s:s,s:O}", "all", cmd_is_set(in, "all"),
			  "backend", backend ? backend : "", "models", models);
	return json_text(body);
}

int cmd_unload(const struct cmd_line *in, struct err *e)
{
	bool all = cmd_is_set(in, "all");
	auto_(call) c = NULL;
	auto_json *answer = NULL;
	int64_t n = 0;
	if (all == (in->n_args > 0))
		return err_set(e, ERR_USAGE,
			       "give either models to unload or --all; see "
			       "'docker model unload --help'");
	auto_free char *body = request(in);
	if (call_open(&c, e) ||
	    call_json(c, "POST", "/engines/unload", str_of(body), &answer, e) ||
	    json_get_int(answer, "unloaded_runners", 0, INT32_MAX, &n, e))
		return -1;
	if (n > 0) {
		term_printf("Unloaded %lld model(s).\n", (long long)n);
		return 0;
	}
	if (!all)
		return err_set(e, ERR_NOT_FOUND,
			       "No such model(s) running; 'docker model ps' "
			       "shows those that are");
	term_printf("No models are running.\n");
	return 0;
}
