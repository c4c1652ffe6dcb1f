#include "llama/params.h"

static const struct params_field fields[] = {
#define ROW(n, k, w, ...) { .name = n, .kind = k, .where = w, __VA_ARGS__ },
#define INT(member, name, where, from, to, absent) \
	ROW(name, PARAMS_INT, where, .first = from, .last = to)
#define NUM(member, name, where, from, to, absent) \
	ROW(name, PARAMS_NUM, where, .least = from, .most = to)
#define BOOL(member, name, where, absent) ROW(name, PARAMS_BOOL, where, )
#define TEXT(member, name, where) ROW(name, PARAMS_TEXT, where, )
#define TREE(member, name, where, accepted) \
	ROW(name, PARAMS_TREE, where, .shapes = accepted)
#include "llama/params_fields.h"
};

const struct params_field *params_fields(size_t *n)
{
	*n = ARRAY_LEN(fields);
	return fields;
}

/* Whoever sends these counts on what they do: an answer without it would be
 * worse than none. */
static const struct {
	const char *name;
	int where;
	const char *instead;
} missing[] = {
	{ "functions", PARAMS_CHAT, "use 'tools'" },
	{ "function_call", PARAMS_CHAT, "use 'tool_choice'" },
	{ "audio", PARAMS_CHAT, "answers are text" },
	{ "web_search_options", PARAMS_CHAT, "models know no web" },
	{ "json_schema", PARAMS_CHAT, "use 'response_format'" },
	{ "grammar", PARAMS_CHAT, "use 'response_format'" },
	{ "grammar", PARAMS_COMPLETION, "ask for a chat's 'response_format'" },
	{ "json_schema", PARAMS_COMPLETION,
	  "ask for a chat's 'response_format'" },
	{ "response_format", PARAMS_COMPLETION, "ask for a chat" },
	{ "tools", PARAMS_COMPLETION, "ask for a chat" },
};

static int check_missing(const json_t *body, enum params_where asked,
			 struct err *e)
{
	size_t i;
	json_t *j;
	for (i = 0; i < ARRAY_LEN(missing); i++)
		if (missing[i].where & asked &&
		    params_has(body, missing[i].name))
			return err_field(e, missing[i].name,
					 "'%s' is not supported: %s",
					 missing[i].name, missing[i].instead);
	if (!(asked & PARAMS_CHAT))
		return 0;
	json_array_foreach(json_object_get(body, "modalities"), i, j)
	{
		if (!str_eq(json_str(j), "text"))
			return err_field(e, "modalities",
					 "'modalities' may be [\"text\"] only");
	}
	return 0;
}

bool params_has(const json_t *body, const char *name)
{
	const json_t *j = json_object_get(body, name);
	return j && !json_is_null(j);
}

int params_body(struct str text, json_t **out, struct err *e)
{
	if (json_parse(text, out, e) == 0)
		return 0;
	/* jansson's words; of two errors it tells the first. */
	if (!strstr(e->msg, "too big"))
		return -1;
	json_t *body = json_loadb(
		text.p, text.n,
		JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	if (!body)
		return -1;
	*out = body;
	return 0;
}

int params_take_body(struct buf *text, json_t **out, struct err *e)
{
	int outcome = params_body(buf_str(text), out, e);
	buf_fini(text);
	return outcome;
}

void params_fill(json_t *body, const json_t *defaults)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)defaults, name, value)
	{
		if (json_is_object(body) && !params_has(body, name))
			json_object_set_new(body, name, json_deep_copy(value));
	}
}

static int shape_of(const json_t *j)
{
	return json_is_string(j)   ? PARAMS_STRING
	       : json_is_array(j)  ? PARAMS_ARRAY
	       : json_is_object(j) ? PARAMS_OBJECT
				   : 0;
}

static int get_tree(const json_t *body, const char *name, int shapes,
		    const json_t **out, struct err *e)
{
	static const char *const words[] = {
		[PARAMS_STRING] = "a string",
		[PARAMS_ARRAY] = "an array",
		[PARAMS_OBJECT] = "an object",
		[PARAMS_STRING | PARAMS_ARRAY] = "a string or an array",
		[PARAMS_STRING | PARAMS_OBJECT] = "a string or an object",
	};
	if (!params_has(body, name))
		return 0;
	*out = json_object_get(body, name);
	if (!(shape_of(*out) & shapes))
		return err_field(e, name, "'%s' must be %s", name,
				 words[shapes]);
	return 0;
}

int params_parse(const json_t *body, enum params_where asked,
		 struct params *out, struct err *e)
{
	if (!json_is_object(body))
		return err_set(e, ERR_INVALID,
			       "the body must be a JSON object");
	*out = (struct params){
#define INT(member, name, where, least, most, absent) .member = absent,
#define NUM(member, name, where, least, most, absent) .member = absent,
#define BOOL(member, name, where, absent) .member = absent,
#define TEXT(member, name, where)
#define TREE(member, name, where, shapes)
#include "llama/params_fields.h"
	};
	if (check_missing(body, asked, e))
		return -1;
#define INT(member, name, where, least, most, absent)               \
	if ((where)&asked &&                                        \
	    json_get_int(body, name, least, most, &out->member, e)) \
		return -1;
#define NUM(member, name, where, least, most, absent)               \
	if ((where)&asked &&                                        \
	    json_get_num(body, name, least, most, &out->member, e)) \
		return -1;
#define BOOL(member, name, where, absent)                                \
	if ((where)&asked && json_get_bool(body, name, &out->member, e)) \
		return -1;
#define TEXT(member, name, where)                                       \
	if ((where)&asked && json_get_str(body, name, &out->member, e)) \
		return -1;
#define TREE(member, name, where, shapes)                                   \
	if ((where)&asked && get_tree(body, name, shapes, &out->member, e)) \
		return -1;
#include "llama/params_fields.h"
	return 0;
}
