#include "llama/respond.h"

#include "base/limits.h"

void respond_put_error(struct writer *w, const struct err *e)
{
	writer_raw(w, STR("{\"error\":{\"message\":"));
	writer_json(w, str_of(e->msg));
	writer_put(w, ",\"type\":\"%s\",\"param\":", err_api_type(e->code));
	if (e->param[0])
		writer_json(w, str_of(e->param));
	else
		writer_raw(w, STR("null"));
	/* Clients of OpenAI's look at this one to tell it from other 400s. */
	writer_raw(w, e->code == ERR_CONTEXT
			      ? STR(",\"code\":\"context_length_exceeded\"}}")
			      : STR(",\"code\":null}}"));
}

struct str respond_error_body(void *ctx, const struct err *e, struct arena *a)
{
	auto_writer struct writer w = WRITER(LIMIT_ANSWER_BYTES);
	(void)ctx;
	respond_put_error(&w, e);
	struct str body = writer_str(&w);
	return (struct str){ arena_str(a, body), body.n };
}

void respond_json(struct http_exchange *x, int status, const struct writer *w)
{
	if (!w->is_full) {
		exchange_reply(x, status, RESPOND_JSON, writer_str(w));
		return;
	}
	struct err e;
	respond_too_large(&e);
	respond_error(x, &e);
}

int respond_too_large(struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "the answer would be too large: ask for fewer answers, "
		       "probabilities or texts at once");
}

void respond_error(struct http_exchange *x, const struct err *e)
{
	auto_writer struct writer w = WRITER(LIMIT_ANSWER_BYTES);
	respond_put_error(&w, e);
	exchange_reply(x, err_http_status(e->code), RESPOND_JSON,
		       writer_str(&w));
}
