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

size_t tokens_common(const struct tokens *a, const struct tokens *b)
{
	size_t n = MIN(a->n, b->n), i = 0;
	while (i < n && a->p[i] == b->p[i])
		i++;
	return i;
}

int tokens_from_text(const struct llama_vocab *v, struct str text, int flags,
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
