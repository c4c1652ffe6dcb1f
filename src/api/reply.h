/* reply.h - answers: JSON, text, and a struct err as each dialect's error. */
#pragma once
#include "base/json.h"
#include "http/server.h"

#define REPLY_JSON "application/json"
#define REPLY_TEXT "text/plain; charset=utf-8"

/* OpenAI's error object: {"error":{"message","type","param","code"}}. The text
 * lies in the arena. */
struct str reply_error_body(const struct err *e, struct arena *a);
/* The error as a whole answer. */
void reply_error(struct http_exchange *x, const struct err *e);
/* Docker Model Runner's dialect on /models and /engines: one line of text. */
void reply_text_error(struct http_exchange *x, const struct err *e);

void reply_text(struct http_exchange *x, int status, const char *text);
/* Takes the value over. */
void reply_json(struct http_exchange *x, int status, json_t *value);
