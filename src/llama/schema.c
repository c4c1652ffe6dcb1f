#include "llama/schema.h"
#include "base/buf.h"
#include "base/limits.h"

/* What constrains nothing. */
static const char *const notes[] = { "title",	  "description", "default",
				     "examples",  "$schema",	 "$id",
				     "$comment",  "$defs",	 "readOnly",
				     "writeOnly", "example",	 "definitions",
				     "strict",	  "deprecated",	 NULL };

/* What a schema may have beside the keyword that decides what it is. */
static const char *const of_object[] = { "type", "properties", "required",
					 "additionalProperties", NULL };
static const char *const of_array[] = { "type", "items", "minItems", "maxItems",
					NULL };
static const char *const of_tuple[] = { "type", "prefixItems", NULL };
static const char *const of_string[] = { "type", "minLength", "maxLength",
					 NULL };
static const char *const of_pattern[] = { "type", "pattern", NULL };
static const char *const of_format[] = { "type", "format", NULL };
static const char *const of_integer[] = {
	"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
	NULL
};
static const char *const of_type[] = { "type", NULL };
static const char *const of_ref[] = { "$ref", NULL };
static const char *const of_any[] = { "anyOf", NULL };
static const char *const of_enum[] = { "type", "enum", NULL };
static const char *const of_const[] = { "type", "const", NULL };

static const char *const formats[] = { "date", "time", "date-time", "uuid",
				       NULL };

/* ---- how large ---- */

/* How many members need not be there. */
static size_t count_optional(const json_t *s, const json_t *properties)
{
	auto_json *rest = json_copy((json_t *)properties);
	size_t i;
	json_t *name;
	json_array_foreach(json_object_get(s, "required"), i, name)
	{
		if (json_is_string(name))
			json_object_del(rest, json_string_value(name));
	}
	return json_object_size(rest);
}

static void add_weight(struct schema_weight *w, const json_t *s,
		       const char *key, const json_t *value)
{
	if (strcmp(key, "properties") == 0 && json_is_object(value)) {
		w->members += json_object_size(value);
		w->optional = MAX(w->optional, count_optional(s, value));
	}
	if (strcmp(key, "enum") == 0 || strcmp(key, "anyOf") == 0 ||
	    strcmp(key, "oneOf") == 0)
		w->choices += json_array_size(value);
}

/* Its depth is bounded: the body it came in was (LIMIT_JSON_DEPTH). */
static void weigh(const json_t *s, struct schema_weight *w)
{
	const char *key;
	size_t i;
	json_t *inner;
	json_object_foreach((json_t *)s, key, inner)
	{
		add_weight(w, s, key, inner);
		w->name = MAX(w->name, strlen(key));
		weigh(inner, w);
	}
	json_array_foreach(s, i, inner)
	{
		weigh(inner, w);
	}
}

int schema_weigh(const json_t *schema, const char *field,
		 struct schema_weight *w, struct err *e)
{
	weigh(schema, w);
	if (w->members > LIMIT_SCHEMA_MEMBERS)
		return err_field(e, field,
				 "the schemas have %zu members, and may have "
				 "%d in all",
				 w->members, LIMIT_SCHEMA_MEMBERS);
	if (w->choices > LIMIT_SCHEMA_CHOICES)
		return err_field(e, field,
				 "the schemas have %zu values of 'enum' and "
				 "alternatives, and may have %d in all",
				 w->choices, LIMIT_SCHEMA_CHOICES);
	if (w->optional > LIMIT_SCHEMA_OPTIONAL)
		return err_field(e, field,
				 "an object of the schemas has %zu members "
				 "that are not in 'required', and may have %d: "
				 "require some, which may then be null",
				 w->optional, LIMIT_SCHEMA_OPTIONAL);
	if (w->name > LIMIT_SCHEMA_NAME_BYTES)
		return err_field(e, field,
				 "a name in the schemas has %zu bytes, and may "
				 "have %d",
				 w->name, LIMIT_SCHEMA_NAME_BYTES);
	return 0;
}

/* ---- what is strict ---- */

struct check {
	const char *field;
	struct buf path; /* where in the schema */
	size_t depth;
	struct err *e;
};

static bool is_in(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

bool schema_holds_members(const char *keyword)
{
	return strcmp(keyword, "properties") == 0 ||
	       strcmp(keyword, "$defs") == 0 ||
	       strcmp(keyword, "definitions") == 0;
}

bool schema_holds_values(const char *keyword)
{
	return strcmp(keyword, "const") == 0 || strcmp(keyword, "enum") == 0 ||
	       (is_in(keyword, notes) && !schema_holds_members(keyword));
}

static int each_of(json_t *inner, schema_each_fn fn, void *ctx)
{
	const char *key;
	size_t i;
	json_t *s;
	json_object_foreach(inner, key, s)
	{
		if (fn(ctx, s))
			return -1;
	}
	json_array_foreach(inner, i, s)
	{
		if (fn(ctx, s))
			return -1;
	}
	return 0;
}

int schema_each(json_t *s, schema_each_fn fn, void *ctx)
{
	const char *key;
	json_t *inner;
	if (json_is_array(s))
		return each_of(s, fn, ctx);
	json_object_foreach(s, key, inner)
	{
		if (schema_holds_members(key)
			    ? each_of(inner, fn, ctx)
			    : !schema_holds_values(key) && fn(ctx, inner))
			return -1;
	}
	return 0;
}

static int refuse(struct check *c, const char *what)
{
	return err_field(c->e, c->field,
			 "'strict': %.100s cannot be enforced at %.150s of the "
			 "schema: leave it out, or 'strict'",
			 what, c->path.n ? c->path.p : "the top");
}

static int refuse_keyword(struct check *c, const char *keyword)
{
	auto_free char *what = xasprintf("'%s'", keyword);
	return refuse(c, what);
}

static int check_any(struct check *c, const json_t *s);

/* A schema inside this one, at "/a/b". */
static int check_inner(struct check *c, const char *a, const char *b,
		       const json_t *s)
{
	size_t n = c->path.n;
	if (buf_printf(&c->path, "/%s%s%s", a, *b ? "/" : "", b))
		return refuse(c, "so deep a schema");
	int got = check_any(c, s);
	buf_cut(&c->path, n);
	return got;
}

static int check_members(struct check *c, const char *name, const json_t *all)
{
	const char *key;
	json_t *inner;
	json_object_foreach((json_t *)all, key, inner)
	{
		if (check_inner(c, name, key, inner))
			return -1;
	}
	return 0;
}

static int check_list(struct check *c, const char *name, const json_t *all)
{
	size_t i;
	json_t *inner;
	json_array_foreach(all, i, inner)
	{
		char number[24];
		snprintf(number, sizeof number, "%zu", i);
		if (check_inner(c, name, number, inner))
			return -1;
	}
	return 0;
}

static int check_object(struct check *c, const json_t *s)
{
	const json_t *properties = json_object_get(s, "properties");
	const json_t *more = json_object_get(s, "additionalProperties");
	size_t i;
	json_t *name;
	json_array_foreach(json_object_get(s, "required"), i, name)
	{
		if (!json_is_string(name) ||
		    !json_object_get(properties, json_string_value(name)))
			return refuse(c, "a required member without a schema "
					 "of its own");
	}
	if (json_is_object(more) &&
	    check_inner(c, "additionalProperties", "", more))
		return -1;
	return check_members(c, "properties", properties);
}

/* Only the words that JSON schema has for one type each. */
static bool is_of_type(const json_t *value, const char *type)
{
	double d = json_number_value(value);
	return strcmp(type, "string") == 0    ? json_is_string(value)
	       : strcmp(type, "object") == 0  ? json_is_object(value)
	       : strcmp(type, "array") == 0   ? json_is_array(value)
	       : strcmp(type, "boolean") == 0 ? json_is_boolean(value)
	       : strcmp(type, "null") == 0    ? json_is_null(value)
	       : strcmp(type, "integer") == 0
		       ? json_is_number(value) && d == (double)(int64_t)d
		       : strcmp(type, "number") == 0 && json_is_number(value);
}

static int check_value(struct check *c, const json_t *type, const json_t *value)
{
	bool fits = !type || (json_is_string(type) &&
			      is_of_type(value, json_string_value(type)));
	size_t i;
	json_t *each;
	json_array_foreach(type, i, each)
	{
		fits |= json_is_string(each) &&
			is_of_type(value, json_string_value(each));
	}
	return fits ? 0 : refuse(c, "a value of another type than 'type'");
}

static int check_enum(struct check *c, const json_t *s)
{
	size_t i;
	json_t *value;
	json_array_foreach(json_object_get(s, "enum"), i, value)
	{
		if (check_value(c, json_object_get(s, "type"), value))
			return -1;
	}
	return 0;
}

static const char *const *of_string_kind(const json_t *s)
{
	return json_object_get(s, "pattern")  ? of_pattern
	       : json_object_get(s, "format") ? of_format
					      : of_string;
}

/* What the schema is decides which keywords the grammar looks at. */
static const char *const *kind_of(const json_t *s)
{
	const char *type = json_string_value(json_object_get(s, "type"));
	if (json_object_get(s, "$ref"))
		return of_ref;
	if (json_object_get(s, "anyOf"))
		return of_any;
	if (json_object_get(s, "const"))
		return of_const;
	if (json_object_get(s, "enum"))
		return of_enum;
	if (!type)
		return json_object_get(s, "properties") ? of_object : of_type;
	return strcmp(type, "object") == 0 ? of_object
	       : strcmp(type, "array") == 0
		       ? (json_object_get(s, "prefixItems") ? of_tuple
							    : of_array)
	       : strcmp(type, "string") == 0  ? of_string_kind(s)
	       : strcmp(type, "integer") == 0 ? of_integer
					      : of_type;
}

static int check_parts(struct check *c, const json_t *s)
{
	const json_t *items = json_object_get(s, "items");
	const char *format = json_string_value(json_object_get(s, "format"));
	if (format && !is_in(format, formats))
		return refuse_keyword(c, format);
	if (check_object(c, s) || check_enum(c, s) ||
	    (items && check_inner(c, "items", "", items)) ||
	    check_list(c, "prefixItems", json_object_get(s, "prefixItems")) ||
	    check_list(c, "anyOf", json_object_get(s, "anyOf")) ||
	    check_members(c, "$defs", json_object_get(s, "$defs")) ||
	    check_members(c, "definitions", json_object_get(s, "definitions")))
		return -1;
	return json_object_get(s, "const")
		       ? check_value(c, json_object_get(s, "type"),
				     json_object_get(s, "const"))
		       : 0;
}

static int check_any(struct check *c, const json_t *s)
{
	const char *key;
	json_t *value;
	if (json_is_true(s))
		return 0;
	if (!json_is_object(s))
		return refuse(c, "what is no schema");
	if (c->depth == LIMIT_JSON_DEPTH)
		return refuse(c, "so deep a schema");
	const char *const *known = kind_of(s);
	json_object_foreach((json_t *)s, key, value)
	{
		if (!is_in(key, known) && !is_in(key, notes))
			return refuse_keyword(c, key);
	}
	c->depth++;
	int got = check_parts(c, s);
	c->depth--;
	return got;
}

int schema_check(const json_t *schema, const char *field, struct err *e)
{
	struct check c = { .field = field, .e = e };
	buf_init(&c.path, LIMIT_SMALL_BODY_BYTES);
	int got = check_any(&c, schema);
	buf_fini(&c.path);
	return got;
}
