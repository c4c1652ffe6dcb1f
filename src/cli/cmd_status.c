#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/term.h"

#define CONTAINER_URL "http://model-runner.docker.internal"

/* One member of GET /engines/status: "Running: llama.cpp b1234". */
struct engine {
	const char *name;
	struct str state, details;
};

static int rank(struct str state)
{
	static const char *const order[] = { "Running", "Error",
					     "Not Installed", "Installing" };
	size_t i = 0;
	while (i < ARRAY_LEN(order) && !str_eq(state, order[i]))
		i++;
	return (int)i;
}

static int by_state(const void *a, const void *b)
{
	const struct engine *x = a, *y = b;
	int order = rank(x->state) - rank(y->state);
	return order ? order : strcmp(x->name, y->name);
}

static int show_engines(json_t *backends, struct err *e)
{
	static const char *const titles[] = { "BACKEND", "STATUS", "DETAILS",
					      NULL };
	auto_(table) t = table_new(titles);
	auto_free struct engine *all =
		xcalloc(json_object_size(backends), sizeof *all);
	size_t n = 0;
	const char *name;
	json_t *value;
	json_object_foreach(backends, name, value)
	{
		struct str rest = str_of(json_string_value(value));
		all[n] = (struct engine){ .name = name };
		if (rest.p && str_split(&rest, ':', &all[n].state))
			all[n].details = str_trim(rest);
		n++;
	}
	qsort(all, n, sizeof *all, by_state);
	for (size_t i = 0; i < n; i++) {
		table_put(t, str_of(all[i].name));
		table_put(t, all[i].state);
		table_put(t, all[i].details);
	}
	return table_print(t, e);
}

/* The URL for programs on this host: the address that was named, else the
 * daemon's own TCP listener, else the port that it has by default. */
static const char *host_url(const struct where *w, const json_t *version)
{
	const json_t *listen = json_object_get(version, "listen");
	size_t i;
	json_t *item;
	if (w->kind == WHERE_HOST)
		return w->text;
	json_array_foreach(
		listen, i,
		item) if (json_is_string(item) &&
			  str_starts(str_of(json_string_value(item)),
				     "http://")) return json_string_value(item);
	return WHERE_PORT_URL;
}

static void show_ways_in(const struct where *w, const json_t *version)
{
	const json_t *listen = json_object_get(version, "listen");
	size_t i;
	json_t *item;
	term_printf("\nListening on:\n");
	json_array_foreach(listen, i, item) if (json_is_string(item))
		term_printf("  %s\n", json_string_value(item));
	if (!json_array_size(listen))
		term_printf("  %s\n", w->text);
	term_printf("\nOpenAI API: %s/v1\n", host_url(w, version));
}

static void show_json(const struct where *w, json_t *backends,
		      const json_t *version)
{
	const char *host = host_url(w, version);
	auto_free char *inside = xasprintf(
		"%s/v1/", w->kind == WHERE_HOST ? host : CONTAINER_URL);
	auto_free char *outside = xasprintf("%s/v1/", host);
	auto_json *all = json_pack(
		"{s:b,s:o,s:s,s:s,s:s}", "running", backends != NULL,
		"backends", backends ? json_incref(backends) : json_object(),
		"kind", where_engine(w), "endpoint", inside, "endpointHost",
		outside);
	auto_free char *text = json_text(all);
	term_printf("%s\n", text);
}

int cmd_status(const struct cmd_line *in, struct err *e)
{
	bool as_json = cmd_is_set(in, "json");
	auto_(call) c = NULL;
	auto_json *backends = NULL;
	auto_json *version = NULL;
	struct err unused;
	if (call_open(&c, e))
		return -1;
	int failed =
		call_json(c, "GET", "/engines/status", STR(""), &backends, e);
	/* What an older server does not tell is simply not shown. */
	if (!failed &&
	    call_json(c, "GET", "/version", STR(""), &version, &unused))
		version = NULL;
	if (as_json)
		show_json(call_where(c), backends, version);
	else
		term_printf("Docker Model Runner is %srunning\n",
			    failed ? "not " : "");
	if (failed || as_json)
		return failed;
	term_printf("\n");
	if (show_engines(backends, e))
		return -1;
	show_ways_in(call_where(c), version);
	return 0;
}
