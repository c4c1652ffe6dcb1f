#include "llama/grammar_priv.h"
#include "base/limits.h"

#include <assert.h>
#include <string.h>

void grammar_row_add(struct grammar_row *row, uint32_t number)
{
	if (row->n == row->cap) {
		row->cap = row->cap ? row->cap * 2 : 16;
		row->p = xrealloc(row->p, row->cap * sizeof *row->p);
	}
	row->p[row->n++] = number;
}

void grammar_row_fini(struct grammar_row *row)
{
	free(row->p);
	*row = (struct grammar_row){ 0 };
}

void grammar_init(struct grammar *g)
{
	size_t most = LIMIT_GRAMMAR_CELLS * sizeof(struct grammar_cell);
	*g = (struct grammar){ 0 };
	intern_init(&g->texts, most);
	intern_init(&g->names, most);
	intern_init(&g->symbols, most);
	intern_init(&g->cells, most);
	intern_init(&g->choices, most);
	grammar_put_cell(g, UINT32_MAX, GRAMMAR_EMPTY);
}

void grammar_fini(struct grammar *g)
{
	intern_fini(&g->texts);
	intern_fini(&g->names);
	intern_fini(&g->symbols);
	intern_fini(&g->cells);
	intern_fini(&g->choices);
	free(g->rules);
}

bool grammar_is_full(const struct grammar *g)
{
	return g->texts.is_full || g->names.is_full || g->symbols.is_full ||
	       g->cells.is_full || g->choices.is_full;
}

struct grammar_symbol grammar_symbol(const struct grammar *g, uint32_t number)
{
	size_t n;
	struct grammar_symbol s;
	memcpy(&s, intern_get(&g->symbols, number, &n), sizeof s);
	return s;
}

struct grammar_cell grammar_cell(const struct grammar *g, uint32_t number)
{
	size_t n;
	struct grammar_cell c;
	memcpy(&c, intern_get(&g->cells, number, &n), sizeof c);
	return c;
}

uint32_t grammar_put_symbol(struct grammar *g, enum grammar_kind kind,
			    uint32_t value)
{
	struct grammar_symbol s = { kind, value, 1, 1 };
	return intern_put(&g->symbols, &s, sizeof s);
}

uint32_t grammar_put_repeat(struct grammar *g, uint32_t choice, uint32_t least,
			    uint32_t most)
{
	struct grammar_symbol s = { GRAMMAR_REPEAT, choice, least, most };
	return intern_put(&g->symbols, &s, sizeof s);
}

uint32_t grammar_put_cell(struct grammar *g, uint32_t symbol, uint32_t next)
{
	struct grammar_cell c = { symbol, next };
	return intern_put(&g->cells, &c, sizeof c);
}

uint32_t grammar_put_sequence(struct grammar *g, const uint32_t *symbols,
			      size_t n, uint32_t end)
{
	while (n)
		end = grammar_put_cell(g, symbols[--n], end);
	return end;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

uint32_t grammar_put_choice(struct grammar *g, struct grammar_row *sequences)
{
	size_t n = 0;
	if (sequences->n)
		qsort(sequences->p, sequences->n, sizeof *sequences->p,
		      by_number);
	for (size_t i = 0; i < sequences->n; i++)
		if (!n || sequences->p[i] != sequences->p[n - 1])
			sequences->p[n++] = sequences->p[i];
	sequences->n = n;
	return intern_put(&g->choices, sequences->p, n * sizeof *sequences->p);
}

void grammar_get_choice(const struct grammar *g, uint32_t choice,
			struct grammar_row *out)
{
	size_t n;
	const uint32_t *all = intern_get(&g->choices, choice, &n);
	for (size_t i = 0; i < n / sizeof *all; i++)
		grammar_row_add(out, all[i]);
}

uint32_t grammar_rule(const struct grammar *g, uint32_t name)
{
	assert(name < g->n_rules && g->rules[name]);
	return g->rules[name] - 1;
}

void grammar_set_rule(struct grammar *g, uint32_t name, uint32_t choice)
{
	if (name >= g->n_rules) {
		size_t n = MAX((size_t)name + 1, 2 * g->n_rules);
		g->rules = xrealloc(g->rules, n * sizeof *g->rules);
		memset(g->rules + g->n_rules, 0,
		       (n - g->n_rules) * sizeof *g->rules);
		g->n_rules = n;
	}
	g->rules[name] = choice + 1;
}

uint32_t grammar_name(struct grammar *g, bool is_second, struct str name)
{
	if (!is_second)
		return intern_put(&g->names, name.p, name.n);
	auto_free char *text = xasprintf(" %.*s", STR_ARG(name));
	return intern_put(&g->names, text, strlen(text));
}

/* What is either rule; no rule of a text has its name. */
static uint32_t either(struct grammar *g, uint32_t first, uint32_t second)
{
	auto_row all = { 0 };
	uint32_t names[] = { first, second };
	uint32_t own = intern_put(&g->names, "", 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		grammar_row_add(&all, grammar_put_cell(g,
						       grammar_put_symbol(
							       g, GRAMMAR_RULE,
							       names[i]),
						       GRAMMAR_EMPTY));
	grammar_set_rule(g, own, grammar_put_choice(g, &all));
	return own;
}

static int rewrite(struct grammar *g, struct str text, struct str other,
		   struct buf *out, struct err *e)
{
	uint32_t root = grammar_name(g, false, STR("root"));
	if (grammar_read(g, text, false, e))
		return -1;
	if (other.n) {
		uint32_t second = grammar_name(g, true, STR("root"));
		if (grammar_read(g, other, true, e))
			return -1;
		root = either(g, root, second);
	}
	grammar_factor(g);
	if (grammar_write(g, root, out))
		return err_set(e, ERR_INVALID,
			       "the grammar of the answer is too large: leave "
			       "out members, or long names and values");
	return 0;
}

int grammar_rewrite(struct str text, struct str other, struct buf *out,
		    struct err *e)
{
	struct grammar g;
	grammar_init(&g);
	int got = rewrite(&g, text, other, out, e);
	grammar_fini(&g);
	return got;
}
