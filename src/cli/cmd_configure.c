/* How a model is started from now on: POST, GET and DELETE
 * /engines/_configure. */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

#define PATH "/engines/_configure"

static void add_int(const struct cmd_line *in, const char *flag, json_t *to,
		    const char *name)
{
	const char *text = cmd_text(in, flag);
	if (text)
		json_object_set_new(to, name,
				    json_integer(strtoll(text, NULL, 10)));
}

static void add_number(const struct cmd_line *in, const char *flag, json_t *to,
		       const char *name)
{
	const char *text = cmd_text(in, flag);
	if (text)
		json_object_set_new(to, name, json_real(strtod(text, NULL)));
}

static int add_text(const struct cmd_line *in, const char *flag, json_t *to,
		    const char *name, struct err *e)
{
	const char *text = cmd_text(in, flag);
	json_t *j = text ? json_string(text) : NULL;
	if (text && !j)
		return err_set(e, ERR_USAGE, "--%s is not UTF-8 text", flag);
	if (text)
		json_object_set_new(to, name, j);
	return 0;
}

static int add_vllm(const struct cmd_line *in, json_t *to, struct err *e)
{
	const char *text = cmd_text(in, "hf_overrides");
	json_t *overrides = NULL;
	if (text && (json_parse(str_of(text), &overrides, e) ||
		     !json_is_object(overrides))) {
		json_decref(overrides);
		return err_set(e, ERR_USAGE,
			       "--hf_overrides takes a JSON object");
	}
	if (text)
		json_object_set_new(to, "hf-overrides", overrides);
	add_number(in, "gpu-memory-utilization", to, "gpu-memory-utilization");
	return 0;
}

/* Members without anything in them are not sent. */
static void add_object(json_t *to, const char *name, json_t *value)
{
	if (json_object_size(value))
		json_object_set(to, name, value);
}

static int add_flags(const struct cmd_line *in, json_t *to, struct err *e)
{
	auto_json *flags = json_array();
	for (size_t i = 1; i < in->n_args; i++)
		if (json_array_append_new(flags, json_string(in->args[i])))
			return err_set(e, ERR_USAGE, "'%s' is not UTF-8 text",
				       in->args[i]);
	if (json_array_size(flags))
		json_object_set(to, "runtime-flags", flags);
	return 0;
}

static int build(const struct cmd_line *in, json_t *ask, struct err *e)
{
	auto_json *draft = json_object(), *vllm = json_object(),
		  *own = json_object(), *model = json_string(in->args[0]);
	if (!model)
		return err_set(e, ERR_USAGE, "the name is not UTF-8 text");
	json_object_set(ask, "model", model);
	add_int(in, "context-size", ask, "context-size");
	add_int(in, "speculative-num-tokens", draft, "num_tokens");
	add_number(in, "speculative-min-acceptance-rate", draft,
		   "min_acceptance_rate");
	if (cmd_is_given(in, "think"))
		json_object_set_new(
			own, "reasoning-budget",
			json_integer(cmd_is_set(in, "think") ? -1 : 0));
	if (add_text(in, "mode", ask, "mode", e) ||
	    add_text(in, "keep-alive", ask, "keep_alive", e) ||
	    add_text(in, "speculative-draft-model", draft, "draft_model", e) ||
	    add_vllm(in, vllm, e) || add_flags(in, ask, e))
		return -1;
	add_object(ask, "speculative", draft);
	add_object(ask, "vllm", vllm);
	add_object(ask, "llamacpp", own);
	return 0;
}

static int ask_nothing_back(const char *method, const char *path,
			    struct str body, struct err *e)
{
	auto_(call) c = NULL;
	struct call_request r = { .method = method,
				  .path = path,
				  .body = body };
	return call_open(&c, e) || call_stream(c, &r, NULL, NULL, e) ? -1 : 0;
}

static int set(const struct cmd_line *in, struct err *e)
{
	auto_json *ask = json_object();
	if (build(in, ask, e))
		return -1;
	auto_free char *body = json_text(ask);
	return ask_nothing_back("POST", PATH, str_of(body), e);
}

static int reset(const struct cmd_line *in, struct err *e)
{
	auto_free char *model = call_escape(in->args[0]);
	const char *mode = cmd_text(in, "mode");
	auto_free char *escaped = call_escape(mode ? mode : "");
	auto_free char *path =
		xasprintf(PATH "?model=%s&mode=%s", model, escaped);
	return ask_nothing_back("DELETE", path, STR(""), e);
}

static int show(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	auto_json *list = NULL;
	auto_free char *model = call_escape(in->n_args > 1 ? in->args[1] : "");
	auto_free char *path =
		xasprintf(PATH "%s%s", *model ? "?model=" : "", model);
	if (call_open(&c, e) || call_json(c, "GET", path, STR(""), &list, e))
		return -1;
	auto_free char *text = json_dumps(list, JSON_INDENT(2));
	term_printf("%s\n", text ? text : "[]");
	return 0;
}

int cmd_configure(const struct cmd_line *in, struct err *e)
{
	if (!strcmp(in->args[0], "show")) {
		if (in->n_args > 2)
			return err_set(e, ERR_USAGE,
				       "'docker model configure show' takes "
				       "one model at most");
		return show(in, e);
	}
	if (!cmd_is_set(in, "reset"))
		return set(in, e);
	if (in->n_args > 1)
		return err_set(e, ERR_USAGE,
			       "--reset removes all settings: it takes no "
			       "flags");
	return reset(in, e);
}
