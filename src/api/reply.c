#include "api/reply.h"
#include "base/buf.h"
#include "base/log.h"

/* OpenAI's `code`: what programs switch on. NULL where it has none. */
static const char *code_of(const struct err *e)
{
	if (e->code == ERR_NOT_FOUND && strcmp(e->param, "model") == 0)
		return "model_not_found";
	if (e->code == ERR_AUTH)
		return "invalid_api_key";
	if (e->code == ERR_LIMIT)
		return "rate_limit_exceeded";
	if (e->code == ERR_FORBIDDEN && strcmp(e->param, "model") == 0)
		return "model_not_allowed";
	if (e->code == ERR_METHOD)
		return "method_not_allowed";
	if (e->code == ERR_TOO_LARGE)
		return "request_too_large";
	if (e->code == ERR_MEMORY)
		return "insufficient_memory";
	return NULL;
}

/* What failed on this side may name a file: where it lies is for the log. What
 * is wrong with a request quotes the request, which may look like a path. */
static struct err for_client(const struct err *e)
{
	struct err out = *e;
	bool is_ours = err_http_status(e->code) >= 500 ||
		       e->code == ERR_FORBIDDEN || e->code == ERR_UNSUPPORTED;
	if (is_ours && err_hide_paths(&out))
		log_warn("request failed error=\"%s\"", e->msg);
	return out;
}

struct str reply_error_body(const struct err *cause, struct arena *a)
{
	struct err told = for_client(cause), *e = &told;
	auto_buf struct buf b;
	buf_init(&b, 8 * sizeof e->msg);
	const char *code = code_of(e);
	int full = buf_puts(&b, "{\"error\":{\"message\":") ||
		   buf_put_json(&b, str_of(e->msg)) ||
		   buf_printf(&b, ",\"type\":\"%s\",\"param\":",
			      err_api_type(e->code)) ||
		   (e->param[0] ? buf_put_json(&b, str_of(e->param))
				: buf_puts(&b, "null")) ||
		   buf_puts(&b, ",\"code\":") ||
		   (code ? buf_put_json(&b, str_of(code))
			 : buf_puts(&b, "null")) ||
		   buf_puts(&b, "}}");
	if (full)
		return STR("{\"error\":{\"message\":\"error\"}}");
	return str_of(arena_str(a, buf_str(&b)));
}

void reply_error(struct http_exchange *x, const struct err *e)
{
	exchange_reply(x, err_http_status(e->code), REPLY_JSON,
		       reply_error_body(e, exchange_arena(x)));
}

void reply_text_error(struct http_exchange *x, const struct err *e)
{
	struct err told = for_client(e);
	exchange_add(x, "X-Content-Type-Options", STR("nosniff"));
	reply_text(x, err_http_status(e->code),
		   arena_printf(exchange_arena(x), "%s\n", told.msg));
}

void reply_text(struct http_exchange *x, int status, const char *text)
{
	exchange_reply(x, status, REPLY_TEXT, str_of(text));
}

void reply_json(struct http_exchange *x, int status, json_t *value)
{
	auto_free char *text = json_text(value);
	json_decref(value);
	exchange_reply(x, status, REPLY_JSON, str_of(text));
}
