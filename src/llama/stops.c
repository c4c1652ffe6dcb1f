#include "llama/stops.h"

#include "base/limits.h"

void stops_init(struct stops *s, const struct str *words, size_t n_words)
{
	*s = (struct stops){ .words = words, .n_words = n_words };
	buf_init(&s->text, LIMIT_ANSWER_BYTES);
}

void stops_fini(struct stops *s)
{
	buf_fini(&s->text);
}

/* Where the first stop string begins, or -1. */
static ptrdiff_t find_stop(const struct stops *s)
{
	struct str text = buf_str(&s->text);
	ptrdiff_t first = -1;
	for (size_t i = 0; i < s->n_words; i++) {
		const char *hit =
			memmem(text.p, text.n, s->words[i].p, s->words[i].n);
		if (hit && (first < 0 || hit - text.p < first))
			first = hit - text.p;
	}
	return first;
}

/* Bytes at the end of `text` that may be the beginning of `word`. */
static size_t overlap(struct str text, struct str word)
{
	size_t n = MIN(text.n, word.n - 1);
	while (n && memcmp(text.p + text.n - n, word.p, n) != 0)
		n--;
	return n;
}

/* Bytes at the end that begin a UTF-8 character without ending it. */
static size_t unfinished(struct str text)
{
	for (size_t n = 1; n <= 3 && n <= text.n; n++) {
		unsigned char c = (unsigned char)text.p[text.n - n];
		if ((c & 0xc0) == 0x80)
			continue;
		size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		return c < 0xf5 && n < need ? n : 0;
	}
	return 0;
}

int stops_add(struct stops *s, struct str piece, struct str *out)
{
	buf_drop(&s->text, s->shown);
	s->shown = 0;
	/* The ceiling is above what a context of tokens can spell. */
	int full = buf_put(&s->text, piece.p, piece.n);
	struct str text = buf_str(&s->text);
	ptrdiff_t stop = full ? (ptrdiff_t)text.n : find_stop(s);
	if (stop >= 0) {
		*out = str_head(text, (size_t)stop);
		s->shown = text.n;
		return STOPS_HIT;
	}
	size_t hold = 0;
	for (size_t i = 0; i < s->n_words; i++)
		hold = MAX(hold, overlap(text, s->words[i]));
	*out = str_head(text, text.n - hold);
	out->n -= unfinished(*out);
	s->shown = out->n;
	return 0;
}

struct str stops_flush(struct stops *s)
{
	buf_drop(&s->text, s->shown);
	s->shown = s->text.n;
	return buf_str(&s->text);
}
