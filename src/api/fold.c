#include "api/fold.h"
#include "base/json.h"
#include "base/limits.h"
#include "http/sse.h"

/* One of several answers, or one of its tool calls, as far as it came. */
struct part {
	struct buf text, reasoning;
	char *role, *finish; /* owned */
	/* Of a tool call: text has its arguments. */
	char *id, *name; /* owned */
	struct part *calls;
	size_t n_calls;
	bool is_chat;
};

struct fold {
	struct part choices[LIMIT_CHOICES];
	size_t n;
	json_t *first; /* owned; the first event, for id, created and model */
	json_t *usage, *error; /* owned */
};

static void part_fini(struct part *p)
{
	for (size_t i = 0; i < p->n_calls; i++)
		part_fini(&p->calls[i]);
	free(p->calls);
	buf_fini(&p->text);
	buf_fini(&p->reasoning);
	free(p->role);
	free(p->finish);
	free(p->id);
	free(p->name);
}

static void append(struct buf *to, const json_t *text)
{
	if (!to->max)
		buf_init(to, LIMIT_ANSWER_BYTES);
	if (json_is_string(text) &&
	    buf_put(to, json_string_value(text), json_string_length(text)))
		return; /* longer than any answer: the rest is left out */
}

static void keep(char **slot, const json_t *text)
{
	if (!*slot && json_is_string(text))
		*slot = xstrdup(json_string_value(text));
}

static void take_call(struct part *p, const json_t *call)
{
	size_t i = (size_t)json_integer_value(json_object_get(call, "index"));
	const json_t *f = json_object_get(call, "function");
	if (!json_is_object(call) || i >= LIMIT_TOOLS)
		return;
	if (i >= p->n_calls) {
		p->calls = xrealloc(p->calls, (i + 1) * sizeof *p->calls);
		memset(p->calls + p->n_calls, 0,
		       (i + 1 - p->n_calls) * sizeof *p->calls);
		p->n_calls = i + 1;
	}
	keep(&p->calls[i].id, json_object_get(call, "id"));
	keep(&p->calls[i].name, json_object_get(f, "name"));
	append(&p->calls[i].text, json_object_get(f, "arguments"));
}

static void take_choice(struct fold *f, const json_t *choice)
{
	size_t i = (size_t)json_integer_value(json_object_get(choice, "index"));
	const json_t *delta = json_object_get(choice, "delta"), *call;
	size_t j;
	if (!json_is_object(choice) || i >= LIMIT_CHOICES)
		return;
	struct part *p = &f->choices[i];
	f->n = MAX(f->n, i + 1);
	p->is_chat |= delta != NULL;
	keep(&p->role, json_object_get(delta, "role"));
	keep(&p->finish, json_object_get(choice, "finish_reason"));
	append(&p->text, json_object_get(delta, "content"));
	append(&p->text, json_object_get(choice, "text"));
	append(&p->reasoning, json_object_get(delta, "reasoning_content"));
	json_array_foreach(json_object_get(delta, "tool_calls"), j, call)
		take_call(p, call);
}

static void take_last(json_t **slot, json_t *value)
{
	if (!json_is_object(value))
		return;
	json_decref(*slot);
	*slot = json_incref(value);
}

static void on_event(void *ctx, struct str data)
{
	struct fold *f = ctx;
	auto_json *event = NULL;
	struct err e;
	size_t i;
	json_t *choice;
	if (str_eq(data, "[DONE]") || json_parse(data, &event, &e))
		return;
	if (!f->first && json_is_object(event))
		f->first = json_incref(event);
	take_last(&f->usage, json_object_get(event, "usage"));
	take_last(&f->error, json_object_get(event, "error"));
	json_array_foreach(json_object_get(event, "choices"), i, choice)
		take_choice(f, choice);
}

/* ---- the object ---- */

static void set_text(json_t *obj, const char *key, const char *text)
{
	if (text)
		json_object_set_new(obj, key, json_string(text));
}

static json_t *text_of(const struct buf *b)
{
	return json_stringn(b->p ? b->p : "", b->n);
}

static json_t *calls_of(const struct part *p)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->n_calls; i++) {
		json_t *call = json_pack("{s:s}", "type", "function");
		json_t *function = json_object();
		set_text(call, "id", p->calls[i].id);
		set_text(function, "name", p->calls[i].name);
		json_object_set_new(function, "arguments",
				    text_of(&p->calls[i].text));
		json_object_set_new(call, "function", function);
		json_array_append_new(list, call);
	}
	return list;
}

static json_t *message_of(const struct part *p)
{
	json_t *m = json_object();
	set_text(m, "role", p->role ? p->role : "assistant");
	json_object_set_new(m, "content", text_of(&p->text));
	if (p->reasoning.n)
		json_object_set_new(m, "reasoning_content",
				    text_of(&p->reasoning));
	if (p->n_calls)
		json_object_set_new(m, "tool_calls", calls_of(p));
	return m;
}

static json_t *choice_of(const struct part *p, size_t i)
{
	json_t *c = json_pack("{s:I}", "index", (json_int_t)i);
	if (p->is_chat)
		json_object_set_new(c, "message", message_of(p));
	else
		json_object_set_new(c, "text", text_of(&p->text));
	set_text(c, "finish_reason", p->finish);
	return c;
}

static json_t *object_of(const struct fold *f)
{
	static const char *const same[] = { "id", "created", "model" };
	json_t *obj = json_object(), *choices = json_array();
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		json_t *value = json_object_get(f->first, same[i]);
		if (value)
			json_object_set(obj, same[i], value);
	}
	set_text(obj, "object",
		 f->choices[0].is_chat ? "chat.completion" : "text_completion");
	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(choices, choice_of(&f->choices[i], i));
	json_object_set_new(obj, "choices", choices);
	if (f->usage)
		json_object_set(obj, "usage", f->usage);
	return obj;
}

int fold_stream(struct str events, struct buf *out, struct buf *error)
{
	struct fold *f = xcalloc(1, sizeof *f);
	struct sse_decoder d;
	struct err e;
	sse_decoder_init(&d, LIMIT_ANSWER_BYTES);
	/* A broken end of it is what was cut off. */
	int broken = sse_decode(&d, events, on_event, f, &e);
	auto_json *obj = object_of(f);
	auto_free char *text = json_text(obj);
	auto_free char *why = f->error ? json_text(f->error) : NULL;
	int full = buf_puts(out, text) || (why && buf_puts(error, why));
	(void)broken;
	sse_decoder_fini(&d);
	for (size_t i = 0; i < f->n; i++)
		part_fini(&f->choices[i]);
	json_decref(f->first);
	json_decref(f->usage);
	json_decref(f->error);
	free(f);
	return full;
}
