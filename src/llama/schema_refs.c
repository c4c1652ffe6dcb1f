#include "llama/schema_refs.h"
#include "base/limits.h"
#include "llama/intern.h"
#include "llama/schema.h"

/* A schema that is referred to, and where it lies: in an object by a name that
 * the object owns, or in a list. The whole lies nowhere. */
struct place {
	json_t *schema; /* borrowed */
	json_t *holder;
	const char *name;
	size_t index;
};

struct refs {
	json_t *root;
	struct place *all; /* owned; each schema once */
	size_t n, cap;
	struct intern numbers; /* of schemas in `all`, by their addresses */
	size_t first;	       /* number of all[0] among the request's */
	const char *field;
	struct err *e;
};

/* ---- where a reference leads ---- */

static int refuse(struct refs *r, const char *ref, const char *why)
{
	return err_field(r->e, r->field,
			 "the schema cannot be followed: '$ref' '%.150s' %s",
			 ref, why);
}

/* "%41", and then "~0" and "~1"; in place, it only becomes shorter. */
static void unescape(char *p)
{
	char *to = p;
	for (const char *from = p; *from; from++) {
		int high = *from == '%' ? str_hex(from[1]) : -1;
		int low = high < 0 ? -1 : str_hex(from[2]);
		int code = low < 0 ? 0 : high << 4 | low;
		*to++ = code ? (char)code : *from;
		from += code ? 2 : 0;
	}
	*to = '\0';
	to = p;
	for (const char *from = p; *from; from++) {
		bool is_pair =
			*from == '~' && (from[1] == '0' || from[1] == '1');
		*to++ = !is_pair ? *from : from[1] == '0' ? '~' : '/';
		from += is_pair;
	}
	*to = '\0';
}

/* The member as it is spelled, or else without its escapes; NULL: neither. */
static void *find_member(json_t *object, char *name)
{
	void *at = json_object_iter_at(object, name);
	if (!at) {
		unescape(name);
		at = json_object_iter_at(object, name);
	}
	return at;
}

static bool step_into_list(struct place *p, const char *name)
{
	char *end;
	unsigned long i = strtoul(name, &end, 10);
	if (*name < '0' || *name > '9' || *end ||
	    i >= json_array_size(p->schema))
		return false;
	p->holder = p->schema;
	p->index = i;
	p->schema = json_array_get(p->holder, i);
	return true;
}

static bool step(struct place *p, char *name)
{
	void *at;
	if (json_is_array(p->schema))
		return step_into_list(p, name);
	if (!(at = find_member(p->schema, name)))
		return false;
	p->holder = p->schema;
	p->name = json_object_iter_key(at);
	p->schema = json_object_iter_value(at);
	return true;
}

/* Values and notes hold no schemas, and "properties" is none itself. */
static int follow(struct refs *r, const char *ref, struct place *p)
{
	auto_free char *path = xstrdup(ref + 1);
	char *rest = path;
	bool is_members = false;
	*p = (struct place){ .schema = r->root };
	if (*path && *path != '/')
		return refuse(r, ref, "is no path in the same schema");
	for (char *name; (name = strsep(&rest, "/"));) {
		if (name == path)
			continue;
		bool is_list = json_is_array(p->schema);
		if (!step(p, name))
			return refuse(r, ref, "leads nowhere");
		if (!is_list && !is_members && schema_holds_values(p->name))
			return refuse(r, ref, "leads to what is no schema");
		is_members = !is_list && !is_members &&
			     schema_holds_members(p->name);
	}
	return is_members || !json_is_object(p->schema)
		       ? refuse(r, ref, "leads to what is no schema")
		       : 0;
}

/* Its number among those of this schema. */
static int find_number(struct refs *r, const struct place *p, size_t *out)
{
	*out = intern_put(&r->numbers, &p->schema, sizeof p->schema);
	if (*out < r->n)
		return 0;
	if (r->n == LIMIT_SCHEMA_MEMBERS)
		return err_field(r->e, r->field,
				 "a schema may refer to %d others",
				 LIMIT_SCHEMA_MEMBERS);
	if (r->n == r->cap) {
		r->cap = MAX((size_t)16, 2 * r->cap);
		r->all = xrealloc(r->all, r->cap * sizeof *r->all);
	}
	r->all[r->n++] = *p;
	return 0;
}

/* llama.cpp makes names different by digits behind them; hence the letter. */
static void put_name(const struct refs *r, size_t i, char out[32])
{
	snprintf(out, 32, "d%zux", r->first + i);
}

static json_t *reference_to(const struct refs *r, size_t i)
{
	char name[32];
	put_name(r, i, name);
	return json_sprintf("#/$defs/%s", name);
}

/* ---- all of them ---- */

/* Its depth is bounded: the body it came in was (LIMIT_JSON_DEPTH). */
static int find_all(void *refs, json_t *s)
{
	struct refs *r = refs;
	const char *ref = json_string_value(json_object_get(s, "$ref"));
	struct place p;
	size_t i;
	if (ref && *ref == '#') {
		if (follow(r, ref, &p) || find_number(r, &p, &i))
			return -1;
		json_object_set_new(s, "$ref", reference_to(r, i));
	}
	return schema_each(s, find_all, r);
}

/* A reference stays where it was. */
static void move(const struct refs *r, size_t i, json_t *defs)
{
	const struct place *p = &r->all[i];
	json_t *ref = json_pack("{s:o}", "$ref", reference_to(r, i));
	char name[32];
	put_name(r, i, name);
	json_object_set(defs, name, p->schema);
	if (json_is_array(p->holder))
		json_array_set_new(p->holder, p->index, ref);
	else
		json_object_set_new(p->holder, p->name, ref);
}

static void move_all(struct refs *r)
{
	json_t *defs = json_object();
	size_t whole = r->n;
	for (size_t i = 0; i < r->n; i++)
		if (r->all[i].holder)
			move(r, i, defs);
		else
			whole = i;
	json_object_del(r->root, "$defs");
	json_object_del(r->root, "definitions");
	if (whole < r->n) {
		char name[32];
		put_name(r, whole, name);
		json_object_set_new(defs, name, json_copy(r->root));
		json_object_clear(r->root);
		json_object_set_new(r->root, "$ref", reference_to(r, whole));
	}
	json_object_set_new(r->root, "$defs", defs);
}

int schema_refs_move(json_t *schema, size_t *made, const char *field,
		     struct err *e)
{
	struct refs r = {
		.root = schema, .first = *made, .field = field, .e = e
	};
	intern_init(&r.numbers, SIZE_MAX);
	int got = find_all(&r, schema);
	if (got == 0 && r.n)
		move_all(&r);
	*made += r.n;
	intern_fini(&r.numbers);
	free(r.all);
	return got;
}
