#include "llama/shim_parts.h"

#include <exception>
#include <random>

void shim_parts_show(const common_chat_templates *templates,
		     common_chat_templates_inputs in, const char *tools,
		     common_chat_params &params)
try {
	in.tools = common_chat_tools_parse_oaicompat(common_json::parse(tools));
	in.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE; /* no grammar of them */
	auto shown = common_chat_templates_apply(templates, in);
	if (shown.generation_prompt == params.generation_prompt)
		params.prompt = shown.prompt;
} catch (const std::exception &) {
	/* It stays as it is. */
}

void shim_parts_append(std::string &text, struct str added)
{
	while (added.n) {
		size_t n = str_utf8(added);
		text.append(n ? added.p : "\xef\xbf\xbd", n ? n : 3);
		added = str_tail(added, n ? n : 1);
	}
}

bool shim_parts_is_json(const std::string &text)
try {
	common_json::parse(text);
	return true;
} catch (const std::exception &) {
	return false;
}

std::string shim_parts_new_id()
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789";
	static std::random_device source;
	std::string id = "call_";
	for (int i = 0; i < 24; i++)
		id += digits[source() % (sizeof digits - 1)];
	return id;
}
