/* either.h - tools that are offered beside a format: who asks for both wants
 * calls, and then an answer in the format. llama.cpp takes the format and makes
 * no calls. C++. */
#pragma once
#include <chat.h>
#include <string>

/* Changes what a template made of `in`, so that calls are found in an answer,
 * and gives the grammar of those that it may be in place of params.grammar.
 * Changes nothing where tools must be called, or where the template's calls
 * look like JSON of a format. */
void either_allow(const common_chat_templates *templates,
		  common_chat_templates_inputs in, common_chat_params &params,
		  std::string &calls);
