#include "llama/grammar_priv.h"

#include <assert.h>
#include <string.h>

/* Ends of sequences that several have become rules from so many symbols on. */
#define SHARED_LEAST 3

struct output {
	const struct grammar *g;
	struct buf *out;
	uint32_t *uses;	     /* of each cell, by others or as a beginning */
	char *choices_known; /* by number: counted 1, and written 2 */
	char *ends_known;    /* by cell: written as a rule */
	struct grammar_row to_do, ends;
	int failed;
};

/* ---- what is used how often ---- */

static void meet_choice(struct output *o, uint32_t choice)
{
	if (o->choices_known[choice])
		return;
	o->choices_known[choice] = 1;
	grammar_row_add(&o->to_do, choice);
}

static void count_sequence(struct output *o, uint32_t cell)
{
	for (; cell != GRAMMAR_EMPTY; cell = grammar_cell(o->g, cell).next) {
		if (o->uses[cell]++)
			return;
		struct grammar_symbol s =
			grammar_symbol(o->g, grammar_cell(o->g, cell).symbol);
		if (s.kind == GRAMMAR_RULE)
			meet_choice(o, grammar_rule(o->g, s.value));
		else if (s.kind == GRAMMAR_REPEAT)
			meet_choice(o, s.value);
	}
}

static void count(struct output *o, uint32_t root)
{
	meet_choice(o, root);
	for (size_t i = 0; i < o->to_do.n; i++) {
		auto_row all = { 0 };
		grammar_get_choice(o->g, o->to_do.p[i], &all);
		for (size_t k = 0; k < all.n; k++)
			count_sequence(o, all.p[k]);
	}
	o->to_do.n = 0;
}

static bool is_shared(const struct output *o, uint32_t cell)
{
	size_t n = 0;
	if (o->uses[cell] < 2)
		return false;
	for (; cell != GRAMMAR_EMPTY && n < SHARED_LEAST; n++)
		cell = grammar_cell(o->g, cell).next;
	return n == SHARED_LEAST;
}

/* ---- text ---- */

static void put(struct output *o, const char *text)
{
	o->failed |= buf_puts(o->out, text);
}

static void put_code(struct output *o, uint32_t code)
{
	char plain[] = { (char)code, '\0' };
	if (code >= ' ' && code < 0x7f && code != '"' && code != '\\')
		put(o, plain);
	else
		o->failed |= buf_printf(o->out, "\\U%08X", code);
}

static void put_choice(struct output *o, uint32_t choice)
{
	if (o->choices_known[choice] < 2)
		grammar_row_add(&o->to_do, choice);
	o->choices_known[choice] = 2;
	o->failed |= buf_printf(o->out, "c%u", choice);
}

static void put_end(struct output *o, uint32_t cell)
{
	if (!o->ends_known[cell])
		grammar_row_add(&o->ends, cell);
	o->ends_known[cell] = 1;
	o->failed |= buf_printf(o->out, "e%u", cell);
}

static void put_text(struct output *o, uint32_t number)
{
	size_t n;
	const char *text = intern_get(&o->g->texts, number, &n);
	o->failed |= buf_put(o->out, text, n);
}

static void put_atom(struct output *o, struct grammar_symbol s)
{
	switch ((enum grammar_kind)s.kind) {
	case GRAMMAR_CHAR:
		put(o, "\"");
		put_code(o, s.value);
		put(o, "\"");
		break;
	case GRAMMAR_CLASS:
	case GRAMMAR_TOKEN:
		put_text(o, s.value);
		break;
	case GRAMMAR_ANY:
		put(o, ".");
		break;
	case GRAMMAR_RULE:
		put_choice(o, grammar_rule(o->g, s.value));
		break;
	case GRAMMAR_REPEAT:
		put_choice(o, s.value);
		break;
	}
}

/* What is repeated: one symbol as it is, all else by its name; llama.cpp counts
 * a bracket's rules with each repetition. */
static void put_repeated(struct output *o, struct grammar_symbol s)
{
	size_t n;
	const uint32_t *all = intern_get(&o->g->choices, s.value, &n);
	if (n == sizeof *all && *all != GRAMMAR_EMPTY) {
		struct grammar_cell c = grammar_cell(o->g, *all);
		struct grammar_symbol inner = grammar_symbol(o->g, c.symbol);
		if (c.next == GRAMMAR_EMPTY && inner.kind != GRAMMAR_REPEAT) {
			put_atom(o, inner);
			return;
		}
	}
	put_choice(o, s.value);
}

static void put_times(struct output *o, uint32_t least, uint32_t most)
{
	if (least <= 1 && most == GRAMMAR_NO_END)
		put(o, least ? "+" : "*");
	else if (!least && most == 1)
		put(o, "?");
	else {
		o->failed |= buf_printf(o->out, "{%u", least);
		put(o, most == least ? "" : ",");
		if (most != least && most != GRAMMAR_NO_END)
			o->failed |= buf_printf(o->out, "%u", most);
		put(o, "}");
	}
}

/* Characters up to what is something else; gives what is then next. */
static uint32_t put_literal(struct output *o, uint32_t cell)
{
	size_t n = 0;
	put(o, "\"");
	while (cell != GRAMMAR_EMPTY && !(n && is_shared(o, cell))) {
		struct grammar_cell c = grammar_cell(o->g, cell);
		struct grammar_symbol s = grammar_symbol(o->g, c.symbol);
		if (s.kind != GRAMMAR_CHAR)
			break;
		put_code(o, s.value);
		cell = c.next;
		n++;
	}
	put(o, "\"");
	return cell;
}

/* `is_end`: this is the rule for that end, and not a use of it. */
static void put_sequence(struct output *o, uint32_t cell, bool is_end)
{
	while (cell != GRAMMAR_EMPTY && !o->failed) {
		put(o, " ");
		if (!is_end && is_shared(o, cell)) {
			put_end(o, cell);
			return;
		}
		is_end = false;
		struct grammar_cell c = grammar_cell(o->g, cell);
		struct grammar_symbol s = grammar_symbol(o->g, c.symbol);
		if (s.kind == GRAMMAR_CHAR) {
			cell = put_literal(o, cell);
			continue;
		}
		if (s.kind == GRAMMAR_REPEAT && (s.least != 1 || s.most != 1)) {
			put_repeated(o, s);
			put_times(o, s.least, s.most);
		} else {
			put_atom(o, s);
		}
		cell = c.next;
	}
}

/* The empty sequence is the first: behind the last "|" llama.cpp would take the
 * next line for more of it. */
static void put_rule(struct output *o, uint32_t choice)
{
	auto_row all = { 0 };
	grammar_get_choice(o->g, choice, &all);
	for (size_t i = 0; i < all.n; i++) {
		put(o, i ? " |" : "");
		if (all.n == 1 && all.p[i] == GRAMMAR_EMPTY)
			put(o, " \"\"");
		put_sequence(o, all.p[i], false);
	}
	put(o, "\n");
}

static void put_rules(struct output *o, uint32_t root)
{
	put(o, "root ::=");
	put_rule(o, root);
	while (!o->failed && (o->to_do.n || o->ends.n)) {
		if (o->to_do.n) {
			uint32_t choice = o->to_do.p[--o->to_do.n];
			o->failed |= buf_printf(o->out, "c%u ::=", choice);
			put_rule(o, choice);
			continue;
		}
		uint32_t cell = o->ends.p[--o->ends.n];
		o->failed |= buf_printf(o->out, "e%u ::=", cell);
		put_sequence(o, cell, true);
		put(o, "\n");
	}
}

int grammar_write(const struct grammar *g, uint32_t root, struct buf *out)
{
	struct output o = { .g = g, .out = out };
	o.uses = xcalloc(g->cells.n, sizeof *o.uses);
	o.choices_known = xcalloc(g->choices.n, 1);
	o.ends_known = xcalloc(g->cells.n, 1);
	count(&o, grammar_rule(g, root));
	put_rules(&o, grammar_rule(g, root));
	free(o.uses);
	free(o.choices_known);
	free(o.ends_known);
	grammar_row_fini(&o.to_do);
	grammar_row_fini(&o.ends);
	return o.failed ? BUF_FULL : 0;
}
