#include "llama/history.h"
#include "base/json.h"

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
