/* grammar_factor.c - a X | a Y becomes a (X | Y).
 *
 * To see that alternatives begin alike, what stands first in them is taken
 * apart: a bracket, an option (X)? Y, which is X Y | Y, and a rule that is
 * never empty by itself. What is not alike stays as it was. */
#include "llama/grammar_priv.h"
#include "base/limits.h"

#include <string.h>

/* One choice, its beginnings taken apart; and branches in branches. */
#define MOST_PARTS 8192
#define MOST_DEPTH 400

struct factor {
	struct grammar *g;
	struct grammar_row improved; /* by choice: the better one + 1, or 0 */
	struct grammar_row factored; /* likewise */
	char *is_open; /* owned; rules by name that are taken apart outside */
	size_t depth, work;
};

static uint32_t factor(struct factor *f, const struct grammar_row *all);

static uint32_t *known(struct grammar_row *row, uint32_t number)
{
	while (row->n <= number)
		grammar_row_add(row, 0);
	return &row->p[number];
}

static bool is_over(const struct factor *f)
{
	return f->work > LIMIT_GRAMMAR_WORK || f->depth >= MOST_DEPTH ||
	       grammar_is_full(f->g);
}

/* ---- what sequences begin with ---- */

static uint32_t head_of(const struct factor *f, uint32_t cell)
{
	return grammar_cell(f->g, cell).symbol;
}

static uint32_t rest_of(const struct factor *f, uint32_t cell)
{
	return grammar_cell(f->g, cell).next;
}

/* The one and then the other. */
static uint32_t join(struct factor *f, uint32_t a, uint32_t b)
{
	auto_row symbols = { 0 };
	for (; a != GRAMMAR_EMPTY; a = rest_of(f, a))
		grammar_row_add(&symbols, head_of(f, a));
	f->work += symbols.n + 1;
	return grammar_put_sequence(f->g, symbols.p, symbols.n, b);
}

/* A choice and then a sequence. */
static void join_each(struct factor *f, uint32_t choice, uint32_t end,
		      struct grammar_row *out)
{
	auto_row all = { 0 };
	grammar_get_choice(f->g, choice, &all);
	for (size_t i = 0; i < all.n; i++)
		grammar_row_add(out, join(f, all.p[i], end));
}

/* Space between values is one that may be empty: to take it apart doubles all
 * and shows nothing. */
static bool may_open(const struct factor *f, uint32_t name)
{
	size_t n;
	const uint32_t *all =
		intern_get(&f->g->choices, grammar_rule(f->g, name), &n);
	return !f->is_open[name] && n && all[0] != GRAMMAR_EMPTY;
}

/* Takes the beginning of a sequence apart, once. */
static bool open(struct factor *f, uint32_t cell, struct grammar_row *out,
		 struct grammar_row *opened)
{
	if (cell == GRAMMAR_EMPTY)
		return false;
	struct grammar_symbol s = grammar_symbol(f->g, head_of(f, cell));
	uint32_t end = rest_of(f, cell);
	if (s.kind == GRAMMAR_RULE && may_open(f, s.value)) {
		grammar_row_add(opened, s.value);
		join_each(f, grammar_rule(f->g, s.value), end, out);
		return true;
	}
	if (s.kind != GRAMMAR_REPEAT || s.most != 1)
		return false;
	join_each(f, s.value, end, out);
	if (!s.least)
		grammar_row_add(out, end);
	return true;
}

/* -1: they are too many, or begin with themselves. */
static int open_all(struct factor *f, const struct grammar_row *all,
		    struct grammar_row *out, struct grammar_row *opened)
{
	auto_row to_do = { 0 };
	size_t steps = 0;
	for (size_t i = 0; i < all->n; i++)
		grammar_row_add(&to_do, all->p[i]);
	while (to_do.n) {
		uint32_t cell = to_do.p[--to_do.n];
		if (open(f, cell, &to_do, opened)) {
			if (++steps > MOST_PARTS)
				return -1;
		} else {
			grammar_row_add(out, cell);
		}
		if (to_do.n + out->n > MOST_PARTS || is_over(f))
			return -1;
	}
	return 0;
}

/* ---- branches ---- */

/* What all begin with goes to `shared`, and `rests` has the rests. */
static void take_shared(struct factor *f, struct grammar_row *rests,
			struct grammar_row *shared)
{
	for (;;) {
		for (size_t i = 0; i < rests->n; i++)
			if (rests->p[i] == GRAMMAR_EMPTY ||
			    head_of(f, rests->p[i]) != head_of(f, rests->p[0]))
				return;
		grammar_row_add(shared, head_of(f, rests->p[0]));
		f->work += rests->n;
		for (size_t i = 0; i < rests->n; i++)
			rests->p[i] = rest_of(f, rests->p[i]);
	}
}

struct part {
	uint32_t head, cell;
};

static int by_head(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return x->head != y->head  ? (x->head < y->head ? -1 : 1)
	       : x->cell < y->cell ? -1
				   : x->cell > y->cell;
}

/* Those of one head: the head, and then a choice of their rests. */
static uint32_t branch(struct factor *f, const struct part *parts, size_t n)
{
	auto_row rests = { 0 };
	uint32_t choice, head = parts[0].head;
	if (n == 1)
		return parts[0].cell;
	for (size_t i = 0; i < n; i++)
		grammar_row_add(&rests, rest_of(f, parts[i].cell));
	choice = factor(f, &rests);
	rests.n = 0;
	grammar_get_choice(f->g, choice, &rests);
	uint32_t rest =
		rests.n == 1
			? rests.p[0]
			: grammar_put_cell(
				  f->g, grammar_put_repeat(f->g, choice, 1, 1),
				  GRAMMAR_EMPTY);
	return grammar_put_cell(f->g, head, rest);
}

/* By their heads, each once; the empty one has a head that none has. */
static struct part *sorted(struct factor *f, struct grammar_row *cells)
{
	struct part *parts = xcalloc(cells->n, sizeof *parts);
	size_t n = 0;
	for (size_t i = 0; i < cells->n; i++)
		parts[i] =
			(struct part){ head_of(f, cells->p[i]), cells->p[i] };
	qsort(parts, cells->n, sizeof *parts, by_head);
	for (size_t i = 0; i < cells->n; i++)
		if (!n || parts[i].cell != parts[n - 1].cell)
			parts[n++] = parts[i];
	cells->n = n;
	return parts;
}

static size_t count_of_head(const struct part *parts, size_t n)
{
	size_t same = 1;
	while (same < n && parts[same].head == parts[0].head)
		same++;
	return same;
}

static bool has_pair(const struct part *parts, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (parts[i].head == parts[i - 1].head)
			return true;
	return false;
}

/* Adds the branches; false: none begins like another. */
static bool branch_all(struct factor *f, struct grammar_row *cells,
		       const struct grammar_row *opened,
		       struct grammar_row *out)
{
	auto_free struct part *parts = sorted(f, cells);
	auto_row outer = { 0 };
	if (!has_pair(parts, cells->n))
		return false;
	/* Rules that hold themselves would be taken apart without end. */
	for (size_t i = 0; i < opened->n; i++)
		if (!f->is_open[opened->p[i]]) {
			f->is_open[opened->p[i]] = 1;
			grammar_row_add(&outer, opened->p[i]);
		}
	f->depth++;
	for (size_t i = 0, n; i < cells->n; i += n) {
		n = count_of_head(parts + i, cells->n - i);
		grammar_row_add(out, branch(f, parts + i, n));
	}
	f->depth--;
	for (size_t i = 0; i < outer.n; i++)
		f->is_open[outer.p[i]] = 0;
	return true;
}

/* What may be skipped begins like what comes behind it, perhaps. */
static bool is_plain(const struct factor *f, const struct grammar_row *rests)
{
	if (rests->n > 1 || !rests->n || rests->p[0] == GRAMMAR_EMPTY)
		return rests->n < 2;
	struct grammar_symbol s = grammar_symbol(f->g, head_of(f, rests->p[0]));
	return s.kind != GRAMMAR_REPEAT || s.most != 1 || s.least ||
	       rest_of(f, rests->p[0]) == GRAMMAR_EMPTY;
}

static uint32_t factor_choice(struct factor *f, struct grammar_row *rests)
{
	auto_row shared = { 0 }, cells = { 0 }, opened = { 0 }, out = { 0 };
	uint32_t choice;
	if (rests->n > 1)
		take_shared(f, rests, &shared);
	if (is_plain(f, rests) || open_all(f, rests, &cells, &opened) ||
	    !branch_all(f, &cells, &opened, &out)) {
		out.n = 0;
		for (size_t i = 0; i < rests->n; i++)
			grammar_row_add(&out, rests->p[i]);
	}
	choice = grammar_put_choice(f->g, &out);
	if (!shared.n)
		return choice;
	grammar_row_add(&shared, grammar_put_repeat(f->g, choice, 1, 1));
	out.n = 0;
	grammar_row_add(&out, grammar_put_sequence(f->g, shared.p, shared.n,
						   GRAMMAR_EMPTY));
	return grammar_put_choice(f->g, &out);
}

static uint32_t factor(struct factor *f, const struct grammar_row *all)
{
	auto_row rests = { 0 };
	for (size_t i = 0; i < all->n; i++)
		grammar_row_add(&rests, all->p[i]);
	uint32_t choice = grammar_put_choice(f->g, &rests);
	if (is_over(f))
		return choice;
	uint32_t was = *known(&f->factored, choice);
	if (was)
		return was - 1;
	uint32_t better = factor_choice(f, &rests);
	*known(&f->factored, choice) = better + 1;
	return better;
}

/* ---- all of it ---- */

static uint32_t improve(struct factor *f, uint32_t choice);

static uint32_t improve_sequence(struct factor *f, uint32_t cell)
{
	auto_row symbols = { 0 };
	for (; cell != GRAMMAR_EMPTY; cell = rest_of(f, cell)) {
		uint32_t symbol = head_of(f, cell);
		struct grammar_symbol s = grammar_symbol(f->g, symbol);
		if (s.kind == GRAMMAR_REPEAT)
			symbol = grammar_put_repeat(f->g, improve(f, s.value),
						    s.least, s.most);
		grammar_row_add(&symbols, symbol);
	}
	return grammar_put_sequence(f->g, symbols.p, symbols.n, GRAMMAR_EMPTY);
}

/* Its depth is that of the brackets that were read. */
static uint32_t improve(struct factor *f, uint32_t choice)
{
	auto_row all = { 0 };
	uint32_t was = *known(&f->improved, choice);
	if (was)
		return was - 1;
	grammar_get_choice(f->g, choice, &all);
	for (size_t i = 0; i < all.n; i++)
		all.p[i] = improve_sequence(f, all.p[i]);
	uint32_t better = factor(f, &all);
	*known(&f->improved, choice) = better + 1;
	return better;
}

void grammar_factor(struct grammar *g)
{
	struct factor f = { .g = g };
	auto_row better = { 0 };
	f.is_open = xcalloc(g->names.n + 1, 1);
	for (uint32_t i = 0; i < g->names.n; i++)
		grammar_row_add(&better, improve(&f, grammar_rule(g, i)));
	/* Half of a change would be another language. */
	for (uint32_t i = 0; i < g->names.n && !grammar_is_full(g); i++)
		grammar_set_rule(g, i, better.p[i]);
	free(f.is_open);
	grammar_row_fini(&f.improved);
	grammar_row_fini(&f.factored);
}
