#include "engine/shellwords.h"
#include "base/buf.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What is in quotes, from behind the first one; its length with the last. */
static int take_quoted(struct str line, char quote, struct buf *word, size_t *n,
		       struct err *e)
{
	for (size_t i = 0; i < line.n; i++) {
		char c = line.p[i];
		if (c == quote) {
			*n = i + 1;
			return 0;
		}
		/* Between " and " a backslash is one but before these. */
		if (quote == '"' && c == '\\' && i + 1 < line.n &&
		    (line.p[i + 1] == '"' || line.p[i + 1] == '\\'))
			c = line.p[++i];
		if (buf_put(word, &c, 1))
			break;
	}
	return err_set(e, ERR_INVALID, "a quote (%c) is not closed", quote);
}

static int take_word(struct str *line, struct buf *word, struct err *e)
{
	while (line->n && !is_blank(line->p[0])) {
		char c = line->p[0];
		size_t n = 0;
		*line = str_tail(*line, 1);
		if (c == '\'' || c == '"') {
			if (take_quoted(*line, c, word, &n, e))
				return -1;
			*line = str_tail(*line, n);
			continue;
		}
		if (c == '\\' && line->n) {
			c = line->p[0];
			*line = str_tail(*line, 1);
		}
		if (buf_put(word, &c, 1))
			return err_set(e, ERR_INVALID, "a word is too long");
	}
	return 0;
}

int shellwords_each(struct str line, shellwords_fn fn, void *ctx, struct err *e)
{
	auto_buf struct buf word;
	buf_init(&word, line.n + 1);
	for (;;) {
		while (line.n && is_blank(line.p[0]))
			line = str_tail(line, 1);
		if (!line.n)
			return 0;
		buf_clear(&word);
		if (take_word(&line, &word, e) || fn(ctx, buf_str(&word), e))
			return -1;
	}
}
