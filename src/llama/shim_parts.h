/* shim_parts.h - what common_shim.cpp does without a state of its own; C++. */
#pragma once
extern "C" {
#include "base/str.h"
}

#include <chat.h>
#include <string>

/* Shows the model these tools, JSON as the client wrote it, in place of those
 * of `in`, whose schemas are as llama.cpp takes them: changes params.prompt, or
 * nothing where the template does not take them. */
void shim_parts_show(const common_chat_templates *templates,
		     common_chat_templates_inputs in, const char *tools,
		     common_chat_params &params);
/* Bytes that are no character end what common parses; each becomes the one
 * that stands for such, as it will in JSON. */
void shim_parts_append(std::string &text, struct str added);
bool shim_parts_is_json(const std::string &text);
/* For a tool call; random. */
std::string shim_parts_new_id();
