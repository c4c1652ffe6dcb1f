#include "cli/prompt.h"
#include "base/limits.h"

#define QUOTE "\"\"\""

void prompt_init(struct prompt *p)
{
	*p = (struct prompt){ 0 };
	buf_init(&p->text, LIMIT_INFER_BODY_BYTES);
}

void prompt_fini(struct prompt *p)
{
	buf_fini(&p->text);
}

const char *prompt_text(const struct prompt *p)
{
	return buf_str(&p->text).p;
}

bool prompt_cancel(struct prompt *p)
{
	bool was = p->is_quoted || p->is_pasted;
	p->is_quoted = p->is_pasted = false;
	buf_clear(&p->text);
	return was;
}

static enum prompt_meaning put(struct prompt *p, struct str text,
			       enum prompt_meaning meaning)
{
	if (buf_put(&p->text, text.p, text.n) == 0)
		return meaning;
	prompt_cancel(p);
	return PROMPT_TOO_LONG;
}

/* A line of a message that goes on. */
static enum prompt_meaning put_line(struct prompt *p, struct str line)
{
	enum prompt_meaning m = put(p, line, PROMPT_MORE);
	return m == PROMPT_MORE ? put(p, STR("\n"), m) : m;
}

static enum prompt_meaning quoted(struct prompt *p, struct str line)
{
	const char *end = line.n ? memmem(line.p, line.n, QUOTE, 3) : NULL;
	p->is_quoted = !end;
	if (!end)
		return put_line(p, line);
	return put(p, str_head(line, (size_t)(end - line.p)), PROMPT_SEND);
}

static enum prompt_meaning command(struct prompt *p, struct str line)
{
	struct str rest = line, word;
	str_split(&rest, ' ', &word);
	rest = str_trim(rest);
	if (str_eq(line, "/bye") || str_eq(line, "/exit"))
		return PROMPT_QUIT;
	if (str_eq(word, "/?") || str_eq(word, "/help"))
		return PROMPT_HELP;
	if (str_eq(line, "/clear"))
		return PROMPT_CLEAR;
	if (str_eq(word, "/set")) {
		struct str what;
		if (str_split(&rest, ' ', &what) && str_eq(what, "system"))
			return put(p, str_trim(rest), PROMPT_SYSTEM);
	}
	return put(p, str_eq(word, "/set") ? line : word, PROMPT_UNKNOWN);
}

enum prompt_meaning prompt_line(struct prompt *p, struct str line,
				bool more_follows)
{
	struct str bare = str_trim(line);
	if (!p->is_quoted && !p->is_pasted)
		buf_clear(&p->text);
	if (p->is_quoted)
		return quoted(p, line);
	if (!p->is_pasted) {
		if (str_starts(bare, QUOTE))
			return quoted(p, str_tail(bare, 3));
		if (str_starts(bare, "/"))
			return command(p, bare);
	}
	if (more_follows && (bare.n || p->is_pasted)) {
		p->is_pasted = true;
		return put_line(p, line);
	}
	p->is_pasted = false;
	if (!bare.n && !p->text.n)
		return PROMPT_NOTHING;
	return put(p, line, PROMPT_SEND);
}
