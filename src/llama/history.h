/* history.h - chats as clients send them back, with what models said wrong in
 * them. Pure. */
#pragma once
#include <jansson.h>

/* A copy of the messages in which arguments of tool calls that are no JSON are
 * JSON strings of what they are, so that a template that wants values shows
 * them as they were said. NULL: there are none such. The caller's. */
json_t *history_with_quotes(const json_t *messages);

/* Changes messages that were checked into what llama.cpp reads: what a model
 * refused to say is text, `reasoning` is reasoning_content, an assistant's
 * content that is null or not there is empty (unless it calls tools), a call
 * without a type is a function's, and what else is null is not there. */
void history_tidy(json_t *messages);
