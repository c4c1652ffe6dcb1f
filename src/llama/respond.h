/* respond.h - answers that are not text under way: JSON, and errors in OpenAI's
 * form, {"error":{"message","type","param","code"}}. */
#pragma once
#include "base/err.h"
#include "http/server.h"
#include "llama/writer.h"

#define RESPOND_JSON "application/json"

/* The whole answer. */
void respond_json(struct http_exchange *x, int status, const struct writer *w);
void respond_error(struct http_exchange *x, const struct err *e);
/* -1: what was asked for cannot be said in one answer. */
int respond_too_large(struct err *e);
/* Appends the error object. */
void respond_put_error(struct writer *w, const struct err *e);
/* The same in the arena: for the HTTP server's own errors. */
struct str respond_error_body(void *ctx, const struct err *e, struct arena *a);
