/* chat.c - POST /v1/chat/completions. */
#include "llama/direct.h"
#include "llama/generate.h"
#include "llama/history.h"
#include "llama/images.h"
#include "llama/schema.h"
#include "llama/schema_refs.h"
#include "llama/settings.h"
#include "llama/tool_names.h"

#include <stdio.h>

/* ---- messages, tools, formats ---- */

static int check_part(const struct serve *s, const json_t *part,
		      bool is_assistant, size_t i, struct err *e)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	if (!type)
		return err_field(e, "messages",
				 "messages[%zu]: each part of 'content' must "
				 "be an object with a 'type'",
				 i);
	if (strcmp(type, "image_url") == 0) {
		char where[40];
		snprintf(where, sizeof where, "messages[%zu]", i);
		return images_check(s, part, where, e);
	}
	if (is_assistant && strcmp(type, "refusal") == 0 &&
	    json_is_string(json_object_get(part, "refusal")))
		return 0;
	if (strcmp(type, "text") != 0)
		return err_field(e, "messages",
				 "messages[%zu]: this model takes text%s only, "
				 "not a part of type '%s'",
				 i, s->projector ? " and images" : "", type);
	if (!json_is_string(json_object_get(part, "text")))
		return err_field(e, "messages",
				 "messages[%zu]: a text part must have a "
				 "string 'text'",
				 i);
	return 0;
}

static int check_call(const json_t *call, size_t i, struct err *e)
{
	const json_t *f = json_object_get(call, "function");
	const char *type = json_string_value(json_object_get(call, "type"));
	if ((type && strcmp(type, "function") != 0) ||
	    !json_is_string(json_object_get(f, "name")) ||
	    !json_object_get(f, "arguments"))
		return err_field(e, "messages",
				 "messages[%zu]: each of 'tool_calls' must "
				 "have a 'function' with 'name' and "
				 "'arguments'",
				 i);
	if (params_has(call, "id") &&
	    !json_is_string(json_object_get(call, "id")))
		return err_field(e, "messages",
				 "messages[%zu]: the 'id' of a tool call must "
				 "be a string",
				 i);
	return 0;
}

static int check_calls(const json_t *m, size_t i, struct err *e)
{
	const json_t *calls = json_object_get(m, "tool_calls");
	size_t k;
	json_t *call;
	if (calls && !json_is_array(calls) && !json_is_null(calls))
		return err_field(e, "messages",
				 "messages[%zu]: 'tool_calls' must be an array",
				 i);
	if (params_has(m, "function_call"))
		return err_field(e, "messages",
				 "messages[%zu]: 'function_call' is not "
				 "supported: use 'tool_calls'",
				 i);
	json_array_foreach(calls, k, call)
	{
		if (check_call(call, i, e))
			return -1;
	}
	return 0;
}

static int check_content(const struct serve *s, const json_t *m,
			 bool is_assistant, size_t i, struct err *e)
{
	const json_t *content = json_object_get(m, "content");
	bool is_empty = !content || json_is_null(content);
	size_t k;
	json_t *part;
	if ((is_empty && !is_assistant) ||
	    (!is_empty && !json_is_string(content) && !json_is_array(content)))
		return err_field(e, "messages",
				 "messages[%zu]: 'content' must be a string or "
				 "an array of parts",
				 i);
	json_array_foreach(content, k, part)
	{
		if (check_part(s, part, is_assistant, i, e))
			return -1;
	}
	return 0;
}

static int check_message(const struct serve *s, const json_t *m, size_t i,
			 struct err *e)
{
	static const char *const roles[] = { "system", "developer",
					     "user",   "assistant",
					     "tool",   "function" };
	static const char *const texts[] = { "name", "tool_call_id",
					     "reasoning_content" };
	const char *role = json_string_value(json_object_get(m, "role"));
	bool is_known = false;
	for (size_t k = 0; role && k < ARRAY_LEN(roles); k++)
		is_known |= strcmp(role, roles[k]) == 0;
	if (!is_known)
		return err_field(e, "messages",
				 "messages[%zu]: 'role' must be system, "
				 "developer, user, assistant or tool",
				 i);
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		if (params_has(m, texts[k]) &&
		    !json_is_string(json_object_get(m, texts[k])))
			return err_field(e, "messages",
					 "messages[%zu]: '%s' must be a string",
					 i, texts[k]);
	if (check_calls(m, i, e))
		return -1;
	return check_content(s, m, strcmp(role, "assistant") == 0, i, e);
}

static int check_messages(const struct serve *s, const json_t *messages,
			  struct err *e)
{
	size_t i;
	json_t *m;
	if (!json_array_size(messages))
		return err_field(e, "messages",
				 "'messages' must be an array with at least "
				 "one message");
	json_array_foreach(messages, i, m)
	{
		if (check_message(s, m, i, e))
			return -1;
	}
	return 0;
}

/* What a function takes is an object; a reference may name one. */
static bool may_be_object(const json_t *parameters)
{
	const char *type =
		json_string_value(json_object_get(parameters, "type"));
	return !type || strcmp(type, "object") == 0;
}

/* null is as good as not there, but not for llama.cpp. */
static void drop_nulls(const json_t *tools)
{
	static const char *const names[] = { "description", "parameters" };
	size_t i;
	json_t *tool;
	json_array_foreach(tools, i, tool)
	{
		json_t *f = json_object_get(tool, "function");
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (json_is_null(json_object_get(f, names[k])))
				json_object_del(f, names[k]);
	}
}

/* What the tools of a request have in all. */
struct tools_sum {
	struct schema_weight weight;
	json_t *names; /* borrowed */
	size_t *made;  /* definitions, through all schemas */
};

static int check_tool(json_t *tool, struct tools_sum *sum, struct err *e)
{
	const char *type = json_string_value(json_object_get(tool, "type"));
	json_t *f = json_object_get(tool, "function");
	json_t *p = json_object_get(f, "parameters");
	bool strict = false;
	const json_t *about = json_object_get(f, "description");
	if (!type || strcmp(type, "function") != 0 ||
	    !json_is_string(json_object_get(f, "name")) ||
	    (p && !json_is_object(p)) || (about && !json_is_string(about)))
		return err_field(e, "tools",
				 "it must have 'type': \"function\" and a "
				 "'function' with a 'name' and perhaps "
				 "'description' and 'parameters'");
	if (tool_names_check(sum->names, json_str(json_object_get(f, "name")),
			     e))
		return -1;
	if (!may_be_object(p))
		return err_field(e, "tools",
				 "its 'parameters' must be a schema of an "
				 "object");
	if (json_get_bool(f, "strict", &strict, e))
		return err_at(e, "tools");
	if (!json_is_object(p))
		return 0;
	return schema_weigh(p, "tools", &sum->weight, e) ||
			       (strict && schema_check(p, "tools", e)) ||
			       schema_fit(p, strict, "tools", e) ||
			       schema_refs_move(p, sum->made, "tools", e)
		       ? -1
		       : 0;
}

/* Their schemas become what llama.cpp takes. */
static int check_tools(const json_t *tools, size_t *made, struct err *e)
{
	auto_json *names = json_object();
	struct tools_sum sum = { .names = names, .made = made };
	size_t i;
	json_t *tool;
	if (json_array_size(tools) > LIMIT_TOOLS)
		return err_field(e, "tools", "'tools' may hold %d, not %zu",
				 LIMIT_TOOLS, json_array_size(tools));
	json_array_foreach(tools, i, tool)
	{
		if (check_tool(tool, &sum, e))
			return err_wrap(e, "tools[%zu]", i);
	}
	return 0;
}

/* The one tool that tool_choice names; a new reference, or NULL. */
static json_t *named_tool(const json_t *tools, const char *name)
{
	size_t i;
	json_t *tool;
	json_array_foreach(tools, i, tool)
	{
		const json_t *f = json_object_get(tool, "function");
		const char *n = json_string_value(json_object_get(f, "name"));
		if (strcmp(n, name) == 0)
			return json_pack("[O]", tool);
	}
	return NULL;
}

/* {"mode": ..., "tools": [...]}: those of the tools that are listed, in the
 * order in which they are listed. */
static int read_allowed(const json_t *all, const json_t *allowed,
			json_t **tools, const char **choice, struct err *e)
{
	const char *mode = json_string_value(json_object_get(allowed, "mode"));
	const json_t *named = json_object_get(allowed, "tools");
	size_t i;
	json_t *j;
	if (!mode ||
	    (strcmp(mode, "auto") != 0 && strcmp(mode, "required") != 0) ||
	    !json_array_size(named))
		return err_field(e, "tool_choice",
				 "'allowed_tools' must have a 'mode', auto or "
				 "required, and 'tools'");
	*choice = mode;
	json_decref(*tools);
	*tools = json_array();
	json_array_foreach(named, i, j)
	{
		const char *name = json_string_value(json_object_get(
			json_object_get(j, "function"), "name"));
		auto_json *one = name ? named_tool(all, name) : NULL;
		if (!one)
			return err_field(e, "tool_choice",
					 "'allowed_tools' names a function "
					 "that is not in 'tools'");
		json_array_extend(*tools, one);
	}
	return 0;
}

/* llama.cpp knows none, auto and required; a named tool is required among a
 * list of one. *tools is the caller's, also after -1. */
static int read_choice(const struct params *p, const json_t *all,
		       json_t **tools, const char **choice, struct err *e)
{
	const json_t *j = p->tool_choice;
	const json_t *allowed = json_object_get(j, "allowed_tools");
	const char *word = json_string_value(j), *name;
	*tools = json_array_size(all) ? json_incref((json_t *)all) : NULL;
	*choice = "auto";
	if (json_is_string(j)) {
		if (strcmp(word, "none") != 0 && strcmp(word, "auto") != 0 &&
		    strcmp(word, "required") != 0)
			return err_field(e, "tool_choice",
					 "'tool_choice' must be none, auto, "
					 "required or name a function");
		*choice = word;
	} else if (allowed) {
		return read_allowed(all, allowed, tools, choice, e);
	} else if (j) {
		name = json_string_value(json_object_get(
			json_object_get(j, "function"), "name"));
		json_decref(*tools);
		*tools = name ? named_tool(all, name) : NULL;
		*choice = "required";
	}
	if (strcmp(*choice, "required") == 0 && !*tools)
		return err_field(e, "tool_choice",
				 "'tool_choice' asks for a function that is "
				 "not in 'tools'");
	return 0;
}

/* A named function is called once, as by OpenAI; -1: as the template likes. */
static int parallel_calls(const struct generate *g)
{
	if (params_has(g->body, "parallel_tool_calls"))
		return g->params.parallel_tools;
	return json_object_get(g->params.tool_choice, "function") ? 0 : -1;
}

/* The body is this request's own; *out is the caller's. */
static int take_schema(json_t *s, bool strict, size_t *made, char **out,
		       struct err *e)
{
	if ((strict && schema_check(s, "response_format", e)) ||
	    schema_fit(s, strict, "response_format", e) ||
	    schema_refs_move(s, made, "response_format", e))
		return -1;
	*out = json_object_size(s) ? json_text(s)
				   : xstrdup("{\"type\":\"object\"}");
	return 0;
}

/* *schema is the caller's; NULL for free text. */
static int read_format(const struct params *p, size_t *made, char **schema,
		       struct err *e)
{
	const json_t *f = p->response_format;
	const char *type = json_string_value(json_object_get(f, "type"));
	struct schema_weight weight = { 0 };
	*schema = NULL;
	if (!f || (type && strcmp(type, "text") == 0))
		return 0;
	if (schema_weigh(f, "response_format", &weight, e))
		return -1;
	if (type && strcmp(type, "json_object") == 0) {
		json_t *own = json_object_get(f, "schema");
		if (own && !json_is_object(own) && !json_is_null(own))
			return err_field(e, "response_format",
					 "'response_format.schema' must be an "
					 "object");
		return take_schema(own, false, made, schema, e);
	}
	if (!type || strcmp(type, "json_schema") != 0)
		return err_field(e, "response_format",
				 "'response_format.type' must be text, "
				 "json_object or json_schema");
	const json_t *outer = json_object_get(f, "json_schema");
	json_t *s = json_object_get(outer, "schema");
	bool strict = false;
	if (!json_is_object(s))
		return err_field(e, "response_format",
				 "'response_format.json_schema.schema' must be "
				 "an object");
	if (json_get_bool(outer, "strict", &strict, e))
		return err_at(e, "response_format");
	return take_schema(s, strict, made, schema, e);
}

/* A chat that ends with the assistant's words is continued, not answered. */
static bool goes_on(const json_t *messages)
{
	const json_t *last =
		json_array_get(messages, json_array_size(messages) - 1);
	const char *role = json_string_value(json_object_get(last, "role"));
	return strcmp(role, "assistant") == 0 &&
	       !json_array_size(json_object_get(last, "tool_calls"));
}

/* What a model said wrong once must not end the chat. */
static int render_any(struct generate *g, struct common_shim_ask *ask,
		      struct err *e)
{
	const struct common_shim_templates *t = g->serve->templates;
	if (common_shim_render(t, ask, &g->chat, e) == 0)
		return 0;
	auto_json *quoted = history_with_quotes(g->params.messages);
	if (!quoted || e->code != ERR_INVALID)
		return -1;
	auto_free char *text = json_text(quoted);
	ask->messages = text;
	return common_shim_render(t, ask, &g->chat, e);
}

/* `shown`: the tools as they came. */
static int render(struct generate *g, const json_t *shown, size_t *made,
		  struct err *e)
{
	const struct params *p = &g->params;
	auto_json *tools = NULL, *shown_tools = NULL;
	auto_free char *schema = NULL;
	auto_free char *effort =
		p->reasoning_effort.p ? str_dup(p->reasoning_effort) : NULL;
	const char *choice;
	if (read_choice(p, p->tools, &tools, &choice, e) ||
	    read_choice(p, shown, &shown_tools, &choice, e) ||
	    read_format(p, made, &schema, e))
		return -1;
	/* The answer is a call; a format would leave no room for it. */
	if (strcmp(choice, "required") == 0)
		free(steal(&schema));
	auto_free char *messages_text = json_text(p->messages);
	auto_free char *tools_text = tools ? json_text(tools) : NULL;
	auto_free char *shown_text = tools && !json_equal(tools, shown_tools)
					     ? json_text(shown_tools)
					     : NULL;
	auto_free char *kwargs =
		p->template_kwargs ? json_text(p->template_kwargs) : NULL;
	struct common_shim_ask ask = {
		.messages = messages_text,
		.tools = tools_text,
		.shown_tools = shown_text,
		.tool_choice = choice,
		.schema = schema,
		.kwargs = kwargs,
		.effort = effort,
		.parallel = parallel_calls(g),
		.goes_on = goes_on(p->messages),
		.no_thinking = p->reasoning_budget == 0,
	};
	if (render_any(g, &ask, e)) {
		if (e->code != ERR_INVALID)
			return -1;
		/* Whatever is new in this request is the likeliest cause. */
		const char *field = schema  ? "response_format"
				    : tools ? "tools"
					    : "messages";
		char text[sizeof e->msg];
		memcpy(text, e->msg, sizeof text);
		return err_field(e, field, "%s", text);
	}
	return 0;
}

/* An answer that was not begun yet: the same as none. */
static void drop_empty_end(json_t *messages)
{
	size_t last = json_array_size(messages) - 1;
	json_t *m = json_array_get(messages, last);
	if (last && goes_on(messages) &&
	    json_string_length(json_object_get(m, "content")) == 0 &&
	    json_array_size(json_object_get(m, "content")) == 0 &&
	    !params_has(m, "reasoning_content"))
		json_array_remove(messages, last);
}

/* With marks in place of images, which g->images has then. The body is this
 * request's own. */
static int read_chat(struct generate *g, struct err *e)
{
	drop_nulls(g->params.tools);
	auto_json *shown = json_deep_copy(g->params.tools);
	size_t made = 0;
	if (check_messages(g->serve, g->params.messages, e) ||
	    check_tools(g->params.tools, &made, e))
		return -1;
	history_tidy((json_t *)g->params.messages);
	drop_empty_end((json_t *)g->params.messages);
	if (images_take(g->serve, (json_t *)g->params.messages, &g->images, e))
		return -1;
	return render(g, shown, &made, e);
}

static int chat_read(struct generate *g, struct err *e)
{
	if (read_chat(g, e))
		return -1;
	const char *stop;
	for (size_t i = 0; (stop = common_shim_prompt_stop(g->chat, i)); i++)
		settings_stop_at(g, str_of(stop));
	generate_prompts(g, 1);
	if (g->images)
		return 0;
	return serve_tokenize(g->serve, common_shim_prompt_text(g->chat),
			      TOKENS_ADD_SPECIAL | TOKENS_PARSE_SPECIAL,
			      "messages", &g->prompts[0].tokens, e);
}

/* ---- POST /apply-template ---- */

static int put_prompt(struct generate *g, struct str body, struct writer *w,
		      struct err *e)
{
	if (params_body(body, &g->body, e))
		return -1;
	params_fill(g->body, g->serve->defaults);
	if (params_parse(g->body, PARAMS_CHAT, &g->params, e) ||
	    read_chat(g, e))
		return -1;
	writer_raw(w, STR("{\"prompt\":"));
	writer_json(w, common_shim_prompt_text(g->chat));
	writer_raw(w, STR("}"));
	return 0;
}

static int apply_template(const struct serve *s, struct str body,
			  struct writer *w, struct err *e)
{
	if (serve_needs_text(s, e))
		return -1;
	/* Of a request only what a template needs. */
	struct generate g = { .serve = (struct serve *)s };
	int rc = put_prompt(&g, body, w, e);
	common_shim_prompt_free(g.chat);
	images_free(g.images);
	json_decref(g.body);
	return rc;
}

void chat_apply_template(void *serve, struct http_exchange *x,
			 const struct route_match *m)
{
	(void)m;
	direct_start(serve, x, LIMIT_INFER_BODY_BYTES, apply_template);
}

/* ---- the answer's words ---- */

static void put_call(struct writer *w, size_t i, bool is_delta, struct str id,
		     struct str name, struct str arguments)
{
	writer_raw(w, STR("{"));
	if (is_delta)
		writer_put(w, "\"index\":%zu%s", i, id.n ? "," : "");
	if (id.n) {
		writer_raw(w, STR("\"id\":"));
		writer_json(w, id);
		writer_raw(w, STR(",\"type\":\"function\""));
	}
	writer_raw(w, STR(",\"function\":{"));
	if (id.n) {
		writer_raw(w, STR("\"name\":"));
		writer_json(w, name);
		writer_raw(w, STR(","));
	}
	writer_raw(w, STR("\"arguments\":"));
	writer_json(w, arguments);
	writer_raw(w, STR("}}"));
}

/* Where there may be no text but calls, null: it adds up to what the answer in
 * one piece has. */
static void put_start(struct writer *w, const struct choice *c)
{
	bool may_call = json_array_size(c->request->params.tools) > 0;
	writer_raw(w, STR("\"role\":\"assistant\",\"content\":"));
	writer_raw(w, may_call ? STR("null") : STR("\"\""));
}

static void chat_put_delta(struct writer *w, struct choice *c,
			   const struct common_shim_delta *d)
{
	writer_raw(w, STR("\"delta\":{"));
	if (!d && !c->finish)
		put_start(w, c);
	if (d && d->reasoning.n) {
		writer_raw(w, STR("\"reasoning_content\":"));
		writer_json(w, d->reasoning);
	}
	if (d && d->content.n) {
		writer_raw(w, d->reasoning.n ? STR(",\"content\":")
					     : STR("\"content\":"));
		writer_json(w, d->content);
	}
	if (d && d->tool >= 0) {
		writer_raw(w, STR("\"tool_calls\":["));
		put_call(w, (size_t)d->tool, true, d->id, d->name,
			 d->arguments);
		writer_raw(w, STR("]"));
	}
	writer_raw(w, STR("}"));
}

static void chat_put_whole(struct writer *w, const struct choice *c)
{
	writer_raw(w, STR("\"message\":{\"role\":\"assistant\",\"content\":"));
	if (c->n_calls && !c->content.buf.n)
		writer_raw(w, STR("null"));
	else
		writer_json(w, writer_str(&c->content));
	writer_raw(w, STR(",\"refusal\":null"));
	if (c->reasoning.buf.n) {
		writer_raw(w, STR(",\"reasoning_content\":"));
		writer_json(w, writer_str(&c->reasoning));
	}
	for (size_t i = 0; i < c->n_calls; i++) {
		const struct choice_call *call = &c->calls[i];
		writer_raw(w, i ? STR(",") : STR(",\"tool_calls\":["));
		put_call(w, i, false, str_of(call->id), str_of(call->name),
			 writer_str(&call->arguments));
	}
	writer_raw(w, c->n_calls ? STR("]}") : STR("}"));
}

static void put_prob(struct writer *w, struct choice *c, int32_t token,
		     float logprob)
{
	struct str text = choice_spell(c, token);
	writer_raw(w, STR("{\"token\":"));
	writer_json(w, text);
	writer_raw(w, STR(",\"logprob\":"));
	choice_put_logprob(w, logprob);
	writer_raw(w, STR(",\"bytes\":["));
	for (size_t i = 0; i < text.n; i++)
		writer_put(w, i ? ",%u" : "%u", (unsigned char)text.p[i]);
	writer_raw(w, STR("]"));
}

static void chat_add_prob(struct choice *c, const struct batch_token *t)
{
	struct writer *w = &c->probs[0];
	if (w->buf.n)
		writer_raw(w, STR(","));
	put_prob(w, c, t->id, t->logprob);
	writer_raw(w, STR(",\"top_logprobs\":["));
	for (size_t i = 0; i < t->n_top; i++) {
		if (i)
			writer_raw(w, STR(","));
		put_prob(w, c, t->top[i].token, t->top[i].logprob);
		writer_raw(w, STR("}"));
	}
	writer_raw(w, STR("]}"));
}

static void chat_put_probs(struct writer *w, const struct choice *c)
{
	writer_raw(w, STR("{\"content\":["));
	writer_raw(w, writer_str(&c->probs[0]));
	writer_raw(w, STR("],\"refusal\":null}"));
}

static const struct generate_kind chat = {
	.where = PARAMS_CHAT,
	.id_prefix = "chatcmpl-",
	.whole = "chat.completion",
	.chunk = "chat.completion.chunk",
	.has_start = true,
	.read = chat_read,
	.put_whole = chat_put_whole,
	.put_delta = chat_put_delta,
	.add_prob = chat_add_prob,
	.put_probs = chat_put_probs,
};

void chat_handle(void *serve, struct http_exchange *x,
		 const struct route_match *m)
{
	(void)m;
	generate_start(serve, x, &chat);
}
