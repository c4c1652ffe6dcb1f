#include "llama/either.h"
#include "llama/grammar_rules.h"

#include <exception>

/* Is JSON in an answer its content, also such that looks like a call? */
static bool keeps_json(const common_chat_params &params)
{
	static const char probe[] = "{\"name\": \"x\", \"arguments\": {}, "
				    "\"parameters\": {}}";
	common_chat_parser_params parsing(params);
	parsing.parse_tool_calls = true;
	try {
		if (!params.parser.empty())
			parsing.parser.load(params.parser);
		auto msg = common_chat_parse(probe, false, parsing);
		return msg.content == probe && msg.tool_calls.empty();
	} catch (const std::exception &) {
		return false;
	}
}

void either_allow(const common_chat_templates *templates,
		  common_chat_templates_inputs in, common_chat_params &params,
		  std::string &calls)
{
	std::string format = params.grammar;
	if (in.json_schema.empty() ||
	    in.tool_choice != COMMON_CHAT_TOOL_CHOICE_AUTO ||
	    in.continue_final_message != COMMON_CHAT_CONTINUATION_NONE ||
	    !grammar_rules_unfence(format))
		return;
	in.json_schema.clear();
	auto open = common_chat_templates_apply(templates, in);
	if (!keeps_json(open))
		return;
	in.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
	calls = common_chat_templates_apply(templates, in).grammar;
	grammar_rules_set(calls, true, !in.parallel_tool_calls);
	open.prompt = params.prompt;
	open.grammar = format;
	open.grammar_lazy = false;
	open.grammar_triggers.clear();
	params = open;
}
