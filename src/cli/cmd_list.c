#include "cli/call.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/modelname.h"
#include "cli/table.h"
#include "cli/term.h"

#include <stdio.h>
#include <time.h>

/* A line of the table: a model under one of its names. */
struct row {
	struct str name; /* as stored; n == 0: it has none */
	json_t *model;	 /* borrowed */
};

struct rows {
	struct row *rows; /* owned */
	size_t n, cap;
};

static struct str text_of(const json_t *obj, const char *name)
{
	const json_t *j = json_object_get(obj, name);
	if (!json_is_string(j))
		return (struct str){ "", 0 };
	return json_str(j);
}

static void add(struct rows *all, struct str name, json_t *model)
{
	if (all->n == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 64;
		all->rows = xrealloc(all->rows, all->cap * sizeof *all->rows);
	}
	all->rows[all->n++] = (struct row){ name, model };
}

/* The names of a model that were asked for; all if `typed` is NULL or its id.
 */
static void add_model(struct rows *all, json_t *model, const char *typed)
{
	json_t *tags = json_object_get(model, "tags");
	size_t i;
	json_t *tag;
	if (typed && modelname_matches_id(text_of(model, "id"), str_of(typed)))
		typed = NULL;
	if (!typed && !json_array_size(tags))
		add(all, (struct str){ "", 0 }, model);
	json_array_foreach(tags, i, tag)
	{
		struct str name = str_of(json_string_value(tag));
		if (name.p &&
		    (!typed || modelname_matches(name, str_of(typed))))
			add(all, name, model);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	return modelname_compare(x->name, y->name);
}

static void put_age(struct table *t, const json_t *model)
{
	json_int_t created =
		json_integer_value(json_object_get(model, "created"));
	char age[HUMAN_BYTES], text[HUMAN_BYTES + 8];
	human_duration((int64_t)time(NULL) - created, age);
	snprintf(text, sizeof text, "%s ago", age);
	/* 1970: the packager left the time out to be reproducible. */
	table_put(t, created ? str_of(text) : STR("N/A"));
}

/* What the model is run with, else what its file says. */
static void put_context(struct table *t, const json_t *config)
{
	const json_t *set = json_object_get(config, "context_size");
	const json_t *arch = json_object_get(config, "architecture");
	char text[32] = "";
	if (json_is_integer(set)) {
		snprintf(text, sizeof text, "%lld",
			 (long long)json_integer_value(set));
		table_put(t, str_of(text));
		return;
	}
	auto_free char *key =
		xasprintf("%s.context_length",
			  json_is_string(arch) ? json_string_value(arch) : "");
	table_put(t, text_of(json_object_get(config, "gguf"), key));
}

static void put_row(struct table *t, const struct row *r)
{
	const json_t *config = json_object_get(r->model, "config");
	struct str parameters = text_of(config, "parameters");
	/* The CNCF form has its own word for it. */
	if (!parameters.n)
		parameters = text_of(config, "paramSize");
	table_put(t, r->name.n ? modelname_short(r->name) : STR("<none>"));
	table_put(t, parameters);
	table_put(t, text_of(config, "quantization"));
	table_put(t, text_of(config, "architecture"));
	table_put(t, modelname_short_id(text_of(r->model, "id")));
	put_age(t, r->model);
	put_context(t, config);
	table_put(t, text_of(config, "size"));
}

static int show_table(struct rows *all, struct err *e)
{
	static const char *const titles[] = {
		"MODEL NAME",	"PARAMETERS", "QUANTIZATION",
		"ARCHITECTURE", "MODEL ID",   "CREATED",
		"CONTEXT",	"SIZE",	      NULL
	};
	auto_(table) t = table_new(titles);
	if (all->n)
		qsort(all->rows, all->n, sizeof *all->rows, by_name);
	for (size_t i = 0; i < all->n; i++)
		put_row(t, &all->rows[i]);
	return table_print(t, e);
}

/* Rows of one model follow each other: it is shown once. */
static bool is_new(const struct rows *all, size_t i)
{
	return i == 0 || all->rows[i].model != all->rows[i - 1].model;
}

static void show_ids(const struct rows *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct str id =
			modelname_short_id(text_of(all->rows[i].model, "id"));
		if (is_new(all, i))
			term_printf("%.*s\n", STR_ARG(id));
	}
}

static void show_json(const struct rows *all)
{
	auto_json *list = json_array();
	for (size_t i = 0; i < all->n; i++)
		if (is_new(all, i))
			json_array_append(list, all->rows[i].model);
	term_put_json(list);
}

static int list_store(struct call *c, const struct cmd_line *in, struct err *e)
{
	const char *typed = in->n_args ? in->args[0] : NULL;
	auto_json *models = NULL;
	struct rows all = { 0 };
	size_t i;
	json_t *model;
	int failed = 0;
	if (call_json(c, "GET", "/models", STR(""), &models, e))
		return -1;
	json_array_foreach(models, i, model)
	{
		add_model(&all, model, typed);
	}
	if (cmd_is_set(in, "quiet"))
		show_ids(&all);
	else if (cmd_is_set(in, "json"))
		show_json(&all);
	else
		failed = show_table(&all, e);
	free(all.rows);
	return failed;
}

/* Takes out what was not asked for; `data` is the list of the OpenAI API. */
static void filter(json_t *data, const char *typed)
{
	for (size_t i = json_array_size(data); typed && i > 0; i--) {
		struct str id = text_of(json_array_get(data, i - 1), "id");
		if (!str_eq(id, typed) && !modelname_matches(id, str_of(typed)))
			json_array_remove(data, i - 1);
	}
}

static int list_openai(struct call *c, const struct cmd_line *in,
		       const char *path, struct err *e)
{
	static const char *const titles[] = { "MODEL NAME", "CREATED", NULL };
	auto_json *answer = NULL;
	size_t i;
	json_t *model;
	if (call_json(c, "GET", path, STR(""), &answer, e))
		return -1;
	json_t *data = json_object_get(answer, "data");
	if (!json_is_array(data))
		return err_set(e, ERR_ENGINE,
			       "%s does not answer as the OpenAI API does",
			       call_where(c)->text);
	filter(data, in->n_args ? in->args[0] : NULL);
	if (cmd_is_set(in, "openai") || cmd_is_set(in, "json")) {
		term_put_json(answer);
		return 0;
	}
	auto_(table) t = table_new(titles);
	json_array_foreach(data, i, model)
	{
		table_put(t, text_of(model, "id"));
		put_age(t, model);
	}
	return table_print(t, e);
}

int cmd_list(const struct cmd_line *in, struct err *e)
{
	const char *url = cmd_text(in, "openaiurl");
	auto_(call) c = NULL;
	if (cmd_is_set(in, "json") + cmd_is_set(in, "openai") +
		    cmd_is_set(in, "quiet") >
	    1)
		return err_set(e, ERR_USAGE,
			       "--json, --openai and --quiet exclude each "
			       "other");
	if (url && cmd_is_set(in, "quiet"))
		return err_set(e, ERR_USAGE,
			       "--quiet shows model IDs, which --openaiurl "
			       "does not have");
	if (url ? call_open_url(url, &c, e) : call_open(&c, e))
		return -1;
	if (url)
		return list_openai(c, in, "/models", e);
	if (cmd_is_set(in, "openai"))
		return list_openai(c, in, "/engines/v1/models", e);
	return list_store(c, in, e);
}
