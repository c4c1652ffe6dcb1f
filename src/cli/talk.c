#include "cli/talk.h"
#include "base/limits.h"

#define OPTIONS_BYTES 4096

void talk_init(struct talk *t)
{
	*t = (struct talk){ 0 };
	buf_init(&t->messages, LIMIT_INFER_BODY_BYTES);
	buf_init(&t->options, OPTIONS_BYTES);
}

void talk_fini(struct talk *t)
{
	buf_fini(&t->messages);
	buf_fini(&t->options);
	free(t->system);
}

int talk_set(struct talk *t, const char *name, const char *value)
{
	return buf_printf(&t->options, ",\"%s\":%s", name, value);
}

void talk_set_system(struct talk *t, const char *text)
{
	free(t->system);
	t->system = text && *text ? xstrdup(text) : NULL;
}

static int put_message(struct buf *out, const char *role, struct str text)
{
	return buf_printf(out, ",{\"role\":\"%s\",\"content\":", role) ||
			       buf_put_json(out, text) || buf_puts(out, "}")
		       ? BUF_FULL
		       : 0;
}

int talk_add(struct talk *t, const char *role, struct str text)
{
	size_t mark = t->messages.n;
	if (put_message(&t->messages, role, text) == 0)
		return 0;
	talk_forget(t, mark);
	return BUF_FULL;
}

size_t talk_mark(const struct talk *t)
{
	return t->messages.n;
}

void talk_forget(struct talk *t, size_t mark)
{
	t->messages.n = mark;
}

int talk_put_request(const struct talk *t, const char *model, struct buf *out)
{
	struct str said = buf_str(&t->messages);
	if (buf_puts(out, "{\"model\":") || buf_put_json(out, str_of(model)) ||
	    buf_puts(out, ",\"stream\":true") ||
	    buf_put(out, t->options.p, t->options.n) ||
	    buf_puts(out, ",\"messages\":["))
		return BUF_FULL;
	size_t from = out->n;
	if ((t->system && put_message(out, "system", str_of(t->system))) ||
	    buf_put(out, said.p, said.n))
		return BUF_FULL;
	/* Every message brings a comma; the first one has nothing before. */
	if (out->n > from)
		out->p[from] = ' ';
	return buf_puts(out, "]}");
}
