/* params.h - the fields of a request, checked.
 *
 * params_fields.h is the one table of them. Strings and trees are borrowed
 * from the JSON that was parsed; fields that no row names are ignored, but for
 * some whose promise would be broken then: they are refused. */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

enum params_where {
	PARAMS_CHAT = 1,
	PARAMS_COMPLETION = 2,
	PARAMS_EMBEDDING = 4,
	PARAMS_TOKENIZE = 8,
	PARAMS_DETOKENIZE = 16,
	PARAMS_RERANK = 32,
	PARAMS_SCORE = 64,
	PARAMS_LORA = 128, /* an object in the array "lora" */
};
enum params_shape { PARAMS_STRING = 1, PARAMS_ARRAY = 2, PARAMS_OBJECT = 4 };

struct params {
#define INT(member, name, where, least, most, absent) int64_t member;
#define NUM(member, name, where, least, most, absent) double member;
#define BOOL(member, name, where, absent) bool member;
#define TEXT(member, name, where) struct str member; /* p NULL: absent */
#define TREE(member, name, where, shapes) const json_t *member; /* or NULL */
#include "llama/params_fields.h"
};

/* json_parse(), for a request's body: a whole number that is larger than any
 * computer's is read as a fraction, so that params_parse() can name the field
 * that holds it. */
must_use int params_body(struct str text, json_t **out, struct err *e);
/* The same of a body that is not needed any more: frees it. */
must_use int params_take_body(struct buf *text, json_t **out, struct err *e);
/* -1 names the field of wrong type or out of range. */
must_use int params_parse(const json_t *body, enum params_where where,
			  struct params *out, struct err *e);
/* Gives the body's members that are absent or null the values they have in
 * `defaults` (NULL: none). */
void params_fill(json_t *body, const json_t *defaults);
/* Was it given, and not null? */
bool params_has(const json_t *body, const char *name);

/* The table, for tests that meet every row. */
enum params_kind {
	PARAMS_INT,
	PARAMS_NUM,
	PARAMS_BOOL,
	PARAMS_TEXT,
	PARAMS_TREE,
};
struct params_field {
	const char *name;
	enum params_kind kind;
	int where;
	int64_t first, last; /* of whole numbers */
	double least, most;  /* of others */
	int shapes;	     /* of trees */
};
const struct params_field *params_fields(size_t *n);
