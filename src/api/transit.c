#include "api/transit.h"
#include "api/reply.h"
#include "base/buf.h"

#define PLAIN_TEXT "text/plain"

void transit_init(struct transit *p, struct http_exchange *x, const char *mode)
{
	const struct http_field *accept = head_find(exchange_head(x), "Accept");
	*p = (struct transit){ .x = x, .mode = mode };
	p->is_json = accept && str_eq(accept->value, REPLY_JSON);
}

void transit_on_drain(struct transit *p)
{
	p->is_full = false;
}

/* ---- lines ---- */

/* Go's html.EscapeString. */
static int put_escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		static const char special[] = "\"'&<>";
		static const char *const names[] = { "&#34;", "&#39;", "&amp;",
						     "&lt;", "&gt;" };
		const char *at = s.p[i] ? strchr(special, s.p[i]) : NULL;
		if (at ? buf_puts(out, names[at - special])
		       : buf_put(out, &s.p[i], 1))
			return BUF_FULL;
	}
	return 0;
}

static void start(struct transit *p)
{
	if (exchange_is_started(p->x))
		return;
	exchange_add(p->x, "Content-Type",
		     p->is_json ? STR(REPLY_JSON) : STR(PLAIN_TEXT));
	exchange_add(p->x, "Cache-Control", STR("no-cache"));
	exchange_add(p->x, "X-Accel-Buffering", STR("no"));
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
}

struct event {
	const char *type, *text;
	const struct digest *layer; /* or NULL */
	uint64_t bytes, there, total;
	bool is_passing; /* of an error */
};

static void put_line(struct transit *p, const struct event *v)
{
	char id[DIGEST_TEXT_BYTES];
	auto_buf struct buf line, escaped;
	buf_init(&line, 4096);
	buf_init(&escaped, 8 * 4096);
	int full =
		buf_printf(&line, "{\"type\":\"%s\",\"message\":", v->type) ||
		buf_put_json(&line, str_of(v->text)) ||
		buf_printf(&line, ",\"total\":%llu,\"layer\":{",
			   (unsigned long long)v->total) ||
		(v->layer && buf_printf(&line, "\"id\":\"%s\",",
					digest_text(v->layer, id))) ||
		buf_printf(&line,
			   "\"size\":%llu,\"current\":%llu},\"mode\":\"%s\"%s}",
			   (unsigned long long)v->bytes,
			   (unsigned long long)v->there, p->mode,
			   v->is_passing ? ",\"retry\":true" : "");
	if (!p->is_json)
		full = full || put_escaped(&escaped, buf_str(&line));
	struct buf *out = p->is_json ? &line : &escaped;
	if (full || buf_puts(out, "\n"))
		return;
	start(p);
	p->is_full = exchange_write(p->x, buf_str(out)) == STREAM_FULL;
}

void transit_note(struct transit *p, const char *text)
{
	put_line(p, &(struct event){ .type = "progress", .text = text });
}

void transit_warn(struct transit *p, const char *text)
{
	put_line(p, &(struct event){ .type = "warning", .text = text });
}

void transit_wait(struct transit *p, int others, const char *plural, int most)
{
	char text[100];
	snprintf(text, sizeof text,
		 "Waiting for %d other %s to finish (%d run at one time)",
		 others, others == 1 ? p->mode : plural, most);
	transit_note(p, text);
}

void transit_layer(struct transit *p, const char *verb, const struct digest *d,
		   uint64_t bytes, uint64_t there, uint64_t total)
{
	char text[64];
	if (p->is_full && there < bytes)
		return;
	snprintf(text, sizeof text, "%s: %.2f MB", verb,
		 (double)there / (1 << 20));
	put_line(p, &(struct event){ .type = "progress",
				     .text = text,
				     .layer = d,
				     .bytes = bytes,
				     .there = there,
				     .total = total });
}

/* ---- the end ---- */

void transit_done(struct transit *p, const char *text)
{
	struct http_exchange *x = p->x;
	put_line(p, &(struct event){ .type = "success", .text = text });
	exchange_end(x);
}

/* What the reference answers; its words, then ours. */
static void translate(struct err *e, const char *what)
{
	switch ((int)e->code) {
	case ERR_AUTH:
		err_wrap(e, "Unauthorized");
		break;
	case ERR_NOT_FOUND:
		err_wrap(e, "Model not found");
		break;
	case ERR_UNSUPPORTED:
	case ERR_UNAVAILABLE:
		break;
	default:
		/* Not 502 to 504: a client would take those for ours. */
		e->code = ERR_SYSTEM;
		err_wrap(e, "%s", what);
	}
}

void transit_fail(struct transit *p, const struct err *e, const char *what)
{
	struct http_exchange *x = p->x;
	struct err why = *e;
	bool is_passing = e->code == ERR_UNAVAILABLE ||
			  e->code == ERR_REFUSED || e->code == ERR_ENGINE ||
			  e->code == ERR_ENGINE_SLOW;
	translate(&why, what);
	if (!exchange_is_started(x)) {
		reply_text_error(x, &why);
		return;
	}
	err_hide_paths(&why);
	err_wrap(&why, "Error");
	put_line(p, &(struct event){ .type = "error",
				     .text = why.msg,
				     .is_passing = is_passing });
	exchange_end(x);
}
