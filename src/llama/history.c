#include "llama/history.h"
#include "base/json.h"

#include <string.h>

/* The arguments as a new JSON text, or NULL if they are one already. */
static json_t *quote(const json_t *arguments)
{
	struct err e;
	auto_json *parsed = NULL;
	if (!json_is_string(arguments) ||
	    json_parse(json_str(arguments), &parsed, &e) == 0)
		return NULL;
	auto_free char *text = json_text(arguments);
	return json_string(text);
}

json_t *history_with_quotes(const json_t *messages)
{
	auto_json *copy = json_deep_copy(messages);
	bool has_any = false;
	size_t i, k;
	json_t *message, *call;
	json_array_foreach(copy, i, message)
	{
		json_array_foreach(json_object_get(message, "tool_calls"), k,
				   call)
		{
			json_t *f = json_object_get(call, "function");
			json_t *quoted = quote(json_object_get(f, "arguments"));
			if (quoted)
				json_object_set_new(f, "arguments", quoted);
			has_any |= quoted != NULL;
		}
	}
	return has_any ? json_incref(copy) : NULL;
}

/* Clients send back what their objects hold, and most of that is null. */
static void drop_nulls(json_t *object, const char *but)
{
	const char *name;
	json_t *value;
	void *next;
	json_object_foreach_safe(object, next, name, value)
	{
		if (json_is_null(value) && strcmp(name, but) != 0)
			json_object_del(object, name);
	}
}

static void tidy_parts(json_t *parts)
{
	size_t i;
	json_t *part;
	json_array_foreach(parts, i, part)
	{
		json_t *refusal = json_object_get(part, "refusal");
		if (!json_is_string(refusal))
			continue;
		json_object_set(part, "text", refusal);
		json_object_del(part, "refusal");
		json_object_set_new(part, "type", json_string("text"));
	}
}

static void tidy_assistant(json_t *m)
{
	json_t *calls = json_object_get(m, "tool_calls"), *call;
	json_t *content = json_object_get(m, "content");
	json_t *reasoning = json_object_get(m, "reasoning");
	size_t i;
	json_array_foreach(calls, i, call)
	{
		drop_nulls(call, "function");
		if (!json_is_string(json_object_get(call, "type")))
			json_object_set_new(call, "type",
					    json_string("function"));
	}
	if (!json_array_size(calls) && (!content || json_is_null(content)))
		json_object_set_new(m, "content", json_string(""));
	if (json_is_string(reasoning) &&
	    !json_is_string(json_object_get(m, "reasoning_content")))
		json_object_set(m, "reasoning_content", reasoning);
	tidy_parts(json_object_get(m, "content"));
}

void history_tidy(json_t *messages)
{
	size_t i;
	json_t *m;
	json_array_foreach(messages, i, m)
	{
		const char *role =
			json_string_value(json_object_get(m, "role"));
		drop_nulls(m, "content");
		if (role && strcmp(role, "assistant") == 0)
			tidy_assistant(m);
	}
}
