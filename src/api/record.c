#include "api/record.h"
#include "api/fold.h"
#include "base/json.h"
#include "base/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <time.h>

/* Images and sound are shown by their beginning, as Docker Model Runner does.
 */
#define MEDIA_SHOWN 100

struct record *record_new(const struct record_facts *f)
{
	struct record *r = xcalloc(1, sizeof *r);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	r->holders = 1;
	r->started_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	r->model_id = xstrdup(f->model_id);
	r->model = xstrdup(f->model);
	r->method = xstrdup(f->method);
	r->url = xstrdup(f->url);
	r->caller = xstrdup(f->caller);
	r->config = xstrdup(f->config);
	r->user_agent = f->user_agent.n ? str_dup(f->user_agent) : NULL;
	r->origin = f->origin.n ? str_dup(f->origin) : NULL;
	r->text_bytes = strlen(f->model_id) + strlen(f->model) +
			strlen(f->url) + strlen(f->caller) + strlen(f->config) +
			f->user_agent.n + f->origin.n;
	list_init(&r->age_link);
	list_init(&r->group_link);
	list_init(&r->open_link);
	buf_init(&r->request, LIMIT_RECORD_BODY_BYTES);
	buf_init(&r->answer, LIMIT_RECORD_BODY_BYTES);
	return r;
}

void record_hold(struct record *r)
{
	r->holders++;
}

void record_drop(struct record *r)
{
	if (!r || --r->holders)
		return;
	assert(list_is_empty(&r->age_link) && list_is_empty(&r->group_link));
	char *const texts[] = { r->model_id,   r->model,  r->method,
				r->url,	       r->caller, r->config,
				r->user_agent, r->origin, r->failure };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	buf_fini(&r->request);
	buf_fini(&r->answer);
	free(r);
}

size_t record_bytes(const struct record *r)
{
	return sizeof *r + r->text_bytes + r->request.cap + r->answer.cap;
}

/* ---- the request's text ---- */

static void cut_media(json_t *holder, const char *key)
{
	const char *text = json_string_value(json_object_get(holder, key));
	size_t n = text ? strlen(text) : 0;
	if (n > MEDIA_SHOWN)
		json_object_set_new(holder, key,
				    json_sprintf("%.*s...[truncated %zu chars]",
						 MEDIA_SHOWN, text,
						 n - MEDIA_SHOWN));
}

/* True if the request has messages, and so may have media. */
static bool cut_all_media(json_t *request)
{
	json_t *messages = json_object_get(request, "messages"), *m, *part;
	size_t i, j;
	if (!json_is_array(messages))
		return false;
	json_array_foreach(messages, i, m)
	{
		json_array_foreach(json_object_get(m, "content"), j, part)
		{
			cut_media(json_object_get(part, "image_url"), "url");
			cut_media(json_object_get(part, "input_audio"), "data");
		}
	}
	return true;
}

static int put_cut(struct buf *out, struct str text, uint64_t cut)
{
	auto_free char *whole = NULL;
	if (!cut)
		return buf_put_json(out, text);
	whole = xasprintf("%.*s...[truncated %" PRIu64 " bytes]", STR_ARG(text),
			  cut);
	return buf_put_json(out, str_of(whole));
}

static int put_request(const struct record *r, struct buf *out)
{
	auto_json *request = NULL;
	struct err e;
	struct str text = buf_str(&r->request);
	if (r->request_cut || json_parse(text, &request, &e) ||
	    !cut_all_media(request))
		return put_cut(out, text, r->request_cut);
	auto_free char *again = json_text(request);
	return buf_put_json(out, str_of(again));
}

/* ---- the answer's ---- */

/* An error is shown as JSON, whatever the engine said. */
static int put_error(struct str text, struct buf *out)
{
	auto_json *value = NULL;
	struct err e;
	auto_free char *made = NULL;
	if (json_parse(text, &value, &e) || !json_is_object(value)) {
		json_decref(value);
		value = json_pack("{s:o}", "error",
				  json_stringn(text.p, text.n));
	}
	if (!value) /* not UTF-8 */
		value = json_pack("{s:s}", "error", "(no text)");
	made = json_text(value);
	return buf_puts(out, ",\"error\":") || buf_put_json(out, str_of(made));
}

static int put_stream(const struct record *r, struct buf *out)
{
	auto_buf struct buf whole, error;
	buf_init(&whole, LIMIT_REPLY_BODY_BYTES);
	buf_init(&error, LIMIT_REPLY_BODY_BYTES);
	if (fold_stream(buf_str(&r->answer), &whole, &error))
		return BUF_FULL;
	if (error.n && put_error(buf_str(&error), out))
		return BUF_FULL;
	return buf_puts(out, ",\"response\":") ||
	       put_cut(out, buf_str(&whole), r->answer_cut);
}

static int put_answer(const struct record *r, struct buf *out)
{
	if (r->failure)
		return put_error(str_of(r->failure), out);
	if (r->status >= 400)
		return put_error(buf_str(&r->answer), out);
	if (r->is_stream)
		return put_stream(r, out);
	return buf_puts(out, ",\"response\":") ||
	       put_cut(out, buf_str(&r->answer), r->answer_cut);
}

static int put_text(struct buf *out, const char *key, const char *text)
{
	return text && (buf_printf(out, ",\"%s\":", key) ||
			buf_put_json(out, str_of(text)));
}

int record_print(const struct record *r, struct buf *out)
{
	auto_free char *id =
		xasprintf("%s_%" PRId64, r->model_id, r->started_ns);
	return buf_puts(out, "{\"id\":") || buf_put_json(out, str_of(id)) ||
	       put_text(out, "model", r->model) ||
	       put_text(out, "method", r->method) ||
	       put_text(out, "url", r->url) || buf_puts(out, ",\"request\":") ||
	       put_request(r, out) || put_answer(r, out) ||
	       buf_printf(out, ",\"timestamp\":%" PRId64 ",\"status_code\":%d",
			  r->started_ns / 1000000000, r->status) ||
	       put_text(out, "user_agent", r->user_agent) ||
	       put_text(out, "origin", r->origin) ||
	       put_text(out, "caller", r->caller) || buf_puts(out, "}");
}
