/* tokenize.c - POST /tokenize and /detokenize, in llama-server's form. */
#include "llama/direct.h"
#include "llama/params.h"
#include "llama/weights.h"

#include <llama.h>

/* As llama-server has it: a part of a character is an array of its bytes. */
static void put_piece(struct writer *w, struct str piece)
{
	if (str_is_utf8(piece)) {
		writer_json(w, piece);
		return;
	}
	for (size_t i = 0; i < piece.n; i++)
		writer_put(w, "%c%u", i ? ',' : '[', (unsigned char)piece.p[i]);
	writer_raw(w, STR("]"));
}

static int tokenize(const struct serve *s, struct str body, struct writer *w,
		    struct err *e)
{
	const struct llama_vocab *v = weights_vocab(s->weights);
	auto_json *j = NULL;
	auto_tokens struct tokens t = { 0 };
	struct params p;
	if (params_body(body, &j, e) || params_parse(j, PARAMS_TOKENIZE, &p, e))
		return -1;
	if (!p.content.p)
		return err_field(e, "content", "'content' must be given");
	int flags = (p.add_special ? TOKENS_ADD_SPECIAL : 0) |
		    (p.parse_special ? TOKENS_PARSE_SPECIAL : 0);
	if (tokens_from_text(v, p.content, flags, &t, e))
		return -1;
	auto_buf struct buf piece;
	buf_init(&piece, LIMIT_ANSWER_BYTES);
	writer_raw(w, STR("{\"tokens\":["));
	for (size_t i = 0; i < t.n; i++) {
		writer_raw(w, i ? STR(",") : STR(""));
		if (!p.with_pieces) {
			writer_put(w, "%d", (int)t.p[i]);
			continue;
		}
		buf_clear(&piece);
		w->is_full |= tokens_put_text(v, t.p[i], true, &piece) != 0;
		writer_put(w, "{\"id\":%d,\"piece\":", (int)t.p[i]);
		put_piece(w, buf_str(&piece));
		writer_raw(w, STR("}"));
	}
	writer_raw(w, STR("]}"));
	return 0;
}

static int detokenize(const struct serve *s, struct str body, struct writer *w,
		      struct err *e)
{
	const struct llama_vocab *v = weights_vocab(s->weights);
	auto_json *j = NULL;
	struct params p;
	size_t i;
	json_t *id;
	if (params_body(body, &j, e) ||
	    params_parse(j, PARAMS_DETOKENIZE, &p, e))
		return -1;
	if (!p.tokens)
		return err_field(e, "tokens", "'tokens' must be given");
	auto_buf struct buf text;
	buf_init(&text, LIMIT_ANSWER_BYTES);
	json_array_foreach(p.tokens, i, id)
	{
		json_int_t n = json_integer_value(id);
		if (!json_is_integer(id) || n < 0 ||
		    n >= llama_vocab_n_tokens(v))
			return err_field(e, "tokens",
					 "'tokens' holds something that is no "
					 "token of this model at place %zu",
					 i);
		w->is_full |= tokens_put_text(v, (int32_t)n, true, &text) != 0;
	}
	writer_raw(w, STR("{\"content\":"));
	writer_json(w, buf_str(&text));
	writer_raw(w, STR("}"));
	return 0;
}

void tokenize_handle(void *serve, struct http_exchange *x,
		     const struct route_match *m)
{
	(void)m;
	direct_start(serve, x, LIMIT_TOKENIZE_BODY_BYTES, tokenize);
}

void tokenize_undo(void *serve, struct http_exchange *x,
		   const struct route_match *m)
{
	(void)m;
	direct_start(serve, x, LIMIT_TOKENIZE_BODY_BYTES, detokenize);
}
