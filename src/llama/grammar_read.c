/* grammar_read.c - llama.cpp's language for grammars (GBNF), as its parser
 * takes it: what passes here is not refused there. */
#include "llama/grammar_priv.h"
#include "base/limits.h"

#include <string.h>

#define MOST_DEPTH 500
#define MOST_TIMES 2000 /* llama.cpp's; a larger maximum is none there */

struct reader {
	struct grammar *g;
	const char *p, *end;
	bool is_second;
	size_t depth;
	struct err *e;
};

static int alternatives(struct reader *r, bool is_nested, uint32_t *choice);

static int refuse(struct reader *r, const char *what)
{
	return err_set(r->e, ERR_INVALID,
		       "the grammar of the answer cannot be made: %s", what);
}

static bool is_at(const struct reader *r, const char *word)
{
	size_t n = strlen(word);
	return (size_t)(r->end - r->p) >= n && memcmp(r->p, word, n) == 0;
}

static bool take(struct reader *r, const char *word)
{
	if (!is_at(r, word))
		return false;
	r->p += strlen(word);
	return true;
}

static void skip_space(struct reader *r, bool lines_too)
{
	while (r->p < r->end) {
		if (*r->p == '#') {
			while (r->p < r->end && *r->p != '\r' && *r->p != '\n')
				r->p++;
		} else if (*r->p == ' ' || *r->p == '\t' ||
			   (lines_too && (*r->p == '\r' || *r->p == '\n'))) {
			r->p++;
		} else {
			return;
		}
	}
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	       (c >= '0' && c <= '9');
}

static int read_hex(struct reader *r, size_t n, uint32_t *out)
{
	*out = 0;
	if ((size_t)(r->end - r->p) < n)
		return refuse(r, "an escape has too few digits");
	for (size_t i = 0; i < n; i++) {
		int digit = str_hex(*r->p++);
		if (digit < 0)
			return refuse(r, "an escape has too few digits");
		*out = *out << 4 | (uint32_t)digit;
	}
	return 0;
}

static int read_escape(struct reader *r, uint32_t *out)
{
	static const char names[] = "trn\\\"[]-", codes[] = "\t\r\n\\\"[]-";
	const char *at;
	if (r->p == r->end)
		return refuse(r, "it ends in an escape");
	char c = *r->p++;
	if (c == 'x' || c == 'u' || c == 'U')
		return read_hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
	if (!c || !(at = strchr(names, c)))
		return refuse(r, "it has an unknown escape");
	*out = (unsigned char)codes[at - names];
	return 0;
}

/* One character; bytes that are no UTF-8 are taken as llama.cpp does. */
static int read_code(struct reader *r, uint32_t *out)
{
	static const unsigned char lengths[] = { 1, 1, 1, 1, 1, 1, 1, 1,
						 1, 1, 1, 1, 2, 2, 3, 4 };
	if (r->p == r->end || !*r->p)
		return refuse(r, "it ends too early");
	unsigned char first = (unsigned char)*r->p++;
	if (first == '\\')
		return read_escape(r, out);
	unsigned n = lengths[first >> 4];
	*out = first & ((1u << (8 - n)) - 1);
	for (unsigned i = 1; i < n && r->p < r->end && *r->p; i++)
		*out = (*out << 6) + ((unsigned char)*r->p++ & 0x3f);
	return 0;
}

static int literal(struct reader *r, struct grammar_row *row)
{
	uint32_t code;
	while (!take(r, "\"")) {
		if (read_code(r, &code))
			return -1;
		grammar_row_add(row,
				grammar_put_symbol(r->g, GRAMMAR_CHAR, code));
	}
	return 0;
}

/* A class of one character is that character. */
static int class(struct reader *r, struct grammar_row *row)
{
	const char *start = r->p - 1;
	bool is_not = take(r, "^"), is_range = false;
	uint32_t first = 0, last;
	size_t n = 0;
	for (; !take(r, "]"); n++) {
		if (read_code(r, &first))
			return -1;
		if (!is_at(r, "-") || is_at(r, "-]"))
			continue;
		r->p++;
		is_range = true;
		if (read_code(r, &last))
			return -1;
	}
	if (!n)
		return refuse(r, "it has a class without characters");
	bool is_one = n == 1 && !is_not && !is_range;
	uint32_t text = is_one ? 0
			       : intern_put(&r->g->texts, start,
					    (size_t)(r->p - start));
	grammar_row_add(row,
			is_one ? grammar_put_symbol(r->g, GRAMMAR_CHAR, first)
			       : grammar_put_symbol(r->g, GRAMMAR_CLASS, text));
	return 0;
}

static int token(struct reader *r, struct grammar_row *row)
{
	const char *start = r->p;
	const char *end = memchr(start, '>', (size_t)(r->end - start));
	if (!end)
		return refuse(r, "it has half a token");
	r->p = end + 1;
	uint32_t text = intern_put(&r->g->texts, start, (size_t)(r->p - start));
	grammar_row_add(row, grammar_put_symbol(r->g, GRAMMAR_TOKEN, text));
	return 0;
}

static uint32_t name(struct reader *r)
{
	const char *start = r->p;
	while (r->p < r->end && is_word(*r->p))
		r->p++;
	return grammar_name(r->g, r->is_second,
			    (struct str){ start, (size_t)(r->p - start) });
}

static int group(struct reader *r, struct grammar_row *row)
{
	uint32_t choice;
	if (r->depth++ == MOST_DEPTH)
		return refuse(r, "it nests too deeply");
	skip_space(r, true);
	if (alternatives(r, true, &choice))
		return -1;
	r->depth--;
	if (!take(r, ")"))
		return refuse(r, "a bracket is not closed");
	grammar_row_add(row, grammar_put_repeat(r->g, choice, 1, 1));
	return 0;
}

static int number(struct reader *r, uint32_t *out)
{
	const char *start = r->p;
	uint64_t n = 0;
	for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
		n = n > MOST_TIMES ? n : n * 10 + (uint64_t)(*r->p - '0');
	if (r->p == start)
		return refuse(r, "a repetition has no number");
	*out = (uint32_t)n;
	return 0;
}

/* Behind "{". */
static int times(struct reader *r, bool is_nested, uint32_t *least,
		 uint32_t *most)
{
	skip_space(r, is_nested);
	if (number(r, least))
		return -1;
	skip_space(r, is_nested);
	*most = *least;
	if (take(r, ",")) {
		skip_space(r, is_nested);
		*most = GRAMMAR_NO_END;
		if (!is_at(r, "}") && number(r, most))
			return -1;
		skip_space(r, is_nested);
	}
	if (!take(r, "}") || *least > MOST_TIMES || *most < *least)
		return refuse(r, "a repetition counts wrongly, or to more than "
				 "2000");
	if (*most > MOST_TIMES)
		*most = GRAMMAR_NO_END;
	return 0;
}

/* What the row has from `start` on is repeated. */
static int repeat(struct reader *r, struct grammar_row *row, size_t start,
		  uint32_t least, uint32_t most)
{
	if (row->n == start)
		return refuse(r, "it repeats nothing");
	struct grammar_symbol s = grammar_symbol(r->g, row->p[start]);
	uint32_t choice = s.value;
	if (row->n - start != 1 || s.kind != GRAMMAR_REPEAT || s.least != 1 ||
	    s.most != 1) {
		auto_row one = { 0 };
		grammar_row_add(&one, grammar_put_sequence(r->g, row->p + start,
							   row->n - start,
							   GRAMMAR_EMPTY));
		choice = grammar_put_choice(r->g, &one);
	}
	row->n = start;
	if (most)
		grammar_row_add(row,
				grammar_put_repeat(r->g, choice, least, most));
	return 0;
}

/* 1: the sequence is at its end. */
static int item(struct reader *r, bool is_nested, struct grammar_row *row,
		size_t *start)
{
	uint32_t least = 0, most = GRAMMAR_NO_END;
	if (take(r, "*") || is_at(r, "+") || is_at(r, "?") || is_at(r, "{")) {
		if (take(r, "+"))
			least = 1;
		else if (take(r, "?"))
			most = 1;
		else if (take(r, "{") && times(r, is_nested, &least, &most))
			return -1;
		return repeat(r, row, *start, least, most);
	}
	*start = row->n;
	if (take(r, "\""))
		return literal(r, row);
	if (take(r, "["))
		return class(r, row);
	if (take(r, "("))
		return group(r, row);
	if (is_at(r, "<") || is_at(r, "!<"))
		return token(r, row);
	if (take(r, "."))
		grammar_row_add(row, grammar_put_symbol(r->g, GRAMMAR_ANY, 0));
	else if (r->p < r->end && is_word(*r->p))
		grammar_row_add(
			row, grammar_put_symbol(r->g, GRAMMAR_RULE, name(r)));
	else
		return 1;
	return 0;
}

static int sequence(struct reader *r, bool is_nested, uint32_t *out)
{
	auto_row row = { 0 };
	size_t start = 0;
	int got;
	while ((got = item(r, is_nested, &row, &start)) == 0)
		skip_space(r, is_nested);
	*out = grammar_put_sequence(r->g, row.p, row.n, GRAMMAR_EMPTY);
	if (grammar_is_full(r->g))
		return refuse(r, "the schema is too large: leave out members, "
				 "or long names and values");
	return got < 0 ? -1 : 0;
}

static int alternatives(struct reader *r, bool is_nested, uint32_t *choice)
{
	auto_row all = { 0 };
	uint32_t one = GRAMMAR_EMPTY;
	for (;;) {
		if (sequence(r, is_nested, &one))
			return -1;
		grammar_row_add(&all, one);
		if (!take(r, "|"))
			break;
		skip_space(r, true);
	}
	*choice = grammar_put_choice(r->g, &all);
	return 0;
}

static int rule(struct reader *r)
{
	uint32_t choice;
	if (!is_word(*r->p))
		return refuse(r, "a rule has no name");
	uint32_t own = name(r);
	skip_space(r, false);
	if (!take(r, "::="))
		return refuse(r, "a rule has no '::='");
	skip_space(r, true);
	if (alternatives(r, false, &choice))
		return -1;
	grammar_set_rule(r->g, own, choice);
	if (r->p < r->end && *r->p != '\r' && *r->p != '\n')
		return refuse(r, "a name or value has characters that have "
				 "no place there");
	skip_space(r, true);
	return 0;
}

int grammar_read(struct grammar *g, struct str text, bool is_second,
		 struct err *e)
{
	struct reader r = { g, text.p, text.p + text.n, is_second, 0, e };
	skip_space(&r, true);
	while (r.p < r.end)
		if (rule(&r))
			return -1;
	for (uint32_t i = 0; i < g->names.n; i++)
		if (i >= g->n_rules || !g->rules[i])
			return refuse(&r, "it uses a rule that is not there");
	return 0;
}
