#include "llama/tokens.h"

#include <llama.h>

void tokens_fini(struct tokens *t)
{
	free(t->p);
	*t = (struct tokens){ 0 };
}

static void reserve(struct tokens *t, size_t more)
{
	if (t->n + more <= t->cap)
		return;
	t->cap = MAX(t->n + more, t->cap + t->cap / 2);
	t->p = xrealloc(t->p, t->cap * sizeof *t->p);
}

void tokens_push(struct tokens *t, int32_t id)
{
	reserve(t, 1);
	t->p[t->n++] = id;
}

void tokens_add(struct tokens *t, const struct tokens *more)
{
	reserve(t, more->n);
	if (more->n)
		memcpy(t->p + t->n, more->p, more->n * sizeof *t->p);
	t->n += more->n;
}

size_t tokens_common(const struct tokens *a, const struct tokens *b)
{
	size_t n = MIN(a->n, b->n), i = 0;
	while (i < n && a->p[i] == b->p[i])
		i++;
	return i;
}

/* Characters without a space between them (or spaces) that go to llama.cpp at
 * once: its regular expressions call themselves for each that they match, with
 * 350 bytes of stack, and may match both kinds in a row. */
#define RUN_MOST 6000

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(unsigned char c)
{
	unsigned char small = c | 32;
	return small >= 'a' && small <= 'z';
}

/* A character that is not ASCII may be a space or none. */
static bool goes_on(unsigned char last, unsigned char c)
{
	return last >= 0x80 || c >= 0x80 || is_space(last) == is_space(c);
}

/* Bytes of the text up to where a run has become too long, behind a word of it
 * if there is one; nearly always all of them. */
static size_t piece_of(struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t run = 1, word = 0;
	for (size_t i = 1; i < text.n; i++) {
		if ((p[i] & 0xc0) == 0x80)
			continue; /* goes on with a character */
		run++;
		if (!goes_on(p[i - 1], p[i])) {
			run = 1;
			word = 0;
		} else if (is_letter(p[i - 1]) && p[i] < 0x80 &&
			   !is_letter(p[i])) {
			word = i;
		}
		if (run > RUN_MOST)
			return word ? word : i;
	}
	return text.n;
}

static int add_piece(const struct llama_vocab *v, struct str text, int flags,
		     struct tokens *out, struct err *e)
{
	/* Most tokens spell several bytes; the second try knows the number. */
	int32_t room = (int32_t)MIN(text.n / 2 + 16, (size_t)INT32_MAX), n;
	if (text.n > INT32_MAX)
		return err_set(e, ERR_TOO_LARGE, "the text is too long");
	for (;;) {
		reserve(out, (size_t)room);
		n = llama_tokenize(v, text.p ? text.p : "", (int32_t)text.n,
				   out->p + out->n, room,
				   flags & TOKENS_ADD_SPECIAL,
				   flags & TOKENS_PARSE_SPECIAL);
		if (n >= 0)
			break;
		if (n == INT32_MIN)
			return err_set(e, ERR_TOO_LARGE,
				       "the text is too long");
		room = -n;
	}
	out->n += (size_t)n;
	return 0;
}

/* Only vocabularies of this type are split by regular expressions. */
static int add_pieces(const struct llama_vocab *v, struct str text, int flags,
		      struct tokens *out, struct err *e)
{
	bool adds = flags & TOKENS_ADD_SPECIAL;
	flags &= ~TOKENS_ADD_SPECIAL;
	if (adds && llama_vocab_get_add_bos(v))
		tokens_push(out, llama_vocab_bos(v));
	while (text.n) {
		size_t n = piece_of(text);
		if (add_piece(v, str_head(text, n), flags, out, e))
			return -1;
		text = str_tail(text, n);
	}
	if (adds && llama_vocab_get_add_eos(v))
		tokens_push(out, llama_vocab_eos(v));
	return 0;
}

int tokens_from_text(const struct llama_vocab *v, struct str text, int flags,
		     struct tokens *out, struct err *e)
{
	if (llama_vocab_type(v) == LLAMA_VOCAB_TYPE_BPE &&
	    piece_of(text) < text.n)
		return add_pieces(v, text, flags, out, e);
	return add_piece(v, text, flags, out, e);
}

int tokens_put_text(const struct llama_vocab *v, int32_t id, bool special,
		    struct buf *out)
{
	char small[256];
	int32_t n =
		llama_token_to_piece(v, id, small, sizeof small, 0, special);
	if (n >= 0)
		return buf_put(out, small, (size_t)n);
	auto_free char *large = xcalloc((size_t)-n, 1);
	n = llama_token_to_piece(v, id, large, -n, 0, special);
	return n < 0 ? 0 : buf_put(out, large, (size_t)n);
}
