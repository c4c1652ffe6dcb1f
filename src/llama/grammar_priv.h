/* grammar_priv.h - what a grammar is in memory.
 *
 * Symbols, sequences of them and sets of sequences are values that are kept
 * once and known by numbers (intern.h), so what is equal has one number, and an
 * end that many sequences have in common is there once. */
#pragma once
#include "llama/grammar.h"
#include "llama/intern.h"

enum grammar_kind {
	GRAMMAR_CHAR,	/* value: a code */
	GRAMMAR_CLASS,	/* value: number of its text, "[...]" */
	GRAMMAR_TOKEN,	/* value: number of its text, "<...>" or "!<...>" */
	GRAMMAR_ANY,	/* "." */
	GRAMMAR_RULE,	/* value: number of its name */
	GRAMMAR_REPEAT, /* value: a choice, least to most times; a group: once
			 */
};

#define GRAMMAR_NO_END UINT32_MAX

struct grammar_symbol {
	uint32_t kind, value, least, most;
};

/* A sequence: its first symbol, and the rest. */
struct grammar_cell {
	uint32_t symbol, next;
};

/* The sequence that has nothing. */
#define GRAMMAR_EMPTY 0

struct grammar {
	struct intern texts, names;
	struct intern symbols; /* struct grammar_symbol */
	struct intern cells;   /* struct grammar_cell; 0 is the empty one */
	struct intern choices; /* uint32_t[]: sequences, sorted, each once */
	uint32_t *rules;       /* owned; by name: a choice + 1, 0: undefined */
	size_t n_rules;
};

/* Numbers in a row. */
struct grammar_row {
	uint32_t *p; /* owned */
	size_t n, cap;
};

void grammar_row_add(struct grammar_row *row, uint32_t number);
void grammar_row_fini(struct grammar_row *row);
#define auto_row __attribute__((cleanup(grammar_row_fini))) struct grammar_row

void grammar_init(struct grammar *g);
void grammar_fini(struct grammar *g);
/* Has it become larger than LIMIT_GRAMMAR_CELLS? */
bool grammar_is_full(const struct grammar *g);

struct grammar_symbol grammar_symbol(const struct grammar *g, uint32_t number);
struct grammar_cell grammar_cell(const struct grammar *g, uint32_t number);
uint32_t grammar_put_symbol(struct grammar *g, enum grammar_kind kind,
			    uint32_t value);
uint32_t grammar_put_repeat(struct grammar *g, uint32_t choice, uint32_t least,
			    uint32_t most);
uint32_t grammar_put_cell(struct grammar *g, uint32_t symbol, uint32_t next);
/* The symbols before `end`, a sequence. */
uint32_t grammar_put_sequence(struct grammar *g, const uint32_t *symbols,
			      size_t n, uint32_t end);
/* Sorts the row. */
uint32_t grammar_put_choice(struct grammar *g, struct grammar_row *sequences);
/* Adds a choice's sequences to the row. */
void grammar_get_choice(const struct grammar *g, uint32_t choice,
			struct grammar_row *out);
/* The choice that a rule is; it is defined. */
uint32_t grammar_rule(const struct grammar *g, uint32_t name);
void grammar_set_rule(struct grammar *g, uint32_t name, uint32_t choice);

/* What a rule's name is found by: those of a second grammar are others. */
uint32_t grammar_name(struct grammar *g, bool is_second, struct str name);
must_use int grammar_read(struct grammar *g, struct str text, bool is_second,
			  struct err *e);
/* Makes alternatives that begin alike one. */
void grammar_factor(struct grammar *g);
/* What can be reached from "root". BUF_FULL: it is too large. */
must_use int grammar_write(const struct grammar *g, uint32_t root,
			   struct buf *out);
