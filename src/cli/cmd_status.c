#include "cli/call.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/table.h"
#include "cli/term.h"
#include "cli/waysin.h"

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

/* What programs on this host are given as base URL, less "/v1": what the
 * person named, else where the server says that it listens; NULL: on no port.
 */
static const char *host_url(const struct where *w, const json_t *listen)
{
	const char *other = NULL; /* also the containers' */
	size_t i;
	json_t *url;
	if (w->kind == WHERE_HOST)
		return w->text;
	json_array_foreach(listen, i, url)
	{
		const char *text = json_string_value(url);
		if (!text || str_starts(str_of(text), "unix:"))
			continue;
		if (waysin_is_on_host(text))
			return text;
		other = other ? other : text;
	}
	return json_array_size(listen) ? other : WHERE_PORT_URL;
}

static int show_ways_in(const struct where *w, const json_t *listen,
			const json_t *ways, struct err *e)
{
	static const char *const titles[] = { "WAY IN", "URL", "STATE", NULL };
	static const char *const members[] = { "way", "url", "state" };
	auto_(table) t = table_new(titles);
	size_t i;
	json_t *way;
	const char *host = host_url(w, listen);
	term_printf("\n");
	if (host)
		term_printf("OpenAI API:    %s/v1\n\n", host);
	json_array_foreach(ways, i, way)
	{
		for (size_t k = 0; k < ARRAY_LEN(members); k++)
			table_put(t, str_of(json_string_value(json_object_get(
					     way, members[k]))));
	}
	return json_array_size(ways) ? table_print(t, e) : 0;
}

static void show_json(const struct where *w, json_t *backends,
		      const json_t *listen, json_t *ways)
{
	const char *host = host_url(w, listen);
	auto_free char *inside = xasprintf(
		"%s/v1/", w->kind == WHERE_HOST ? host : CONTAINER_URL);
	auto_free char *outside =
		host ? xasprintf("%s/v1/", host) : xstrdup("");
	auto_json *all = json_pack(
		"{s:b,s:o,s:s,s:s,s:s,s:O}", "running", backends != NULL,
		"backends", backends ? json_incref(backends) : json_object(),
		"kind", where_engine(w), "endpoint", inside, "endpointHost",
		outside, "ways", ways);
	auto_free char *text = json_text(all);
	term_printf("%s\n", text);
}

/* A server elsewhere has ways in that are not this machine's. */
static json_t *find_ways(const struct where *w, const json_t *version)
{
	__attribute__((cleanup(connection_fini))) struct connection c = { 0 };
	struct err unused;
	if (w->kind == WHERE_HOST)
		return waysin_told(version);
	return waysin_list(version, connection_read(&c, &unused) ? NULL : &c);
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
	/* Docker Model Runner itself does not tell where it listens. */
	if (!failed &&
	    call_json(c, "GET", "/version", STR(""), &version, &unused))
		version = NULL;
	const json_t *listen = json_object_get(version, "listen");
	auto_json *ways = find_ways(call_where(c), version);
	if (as_json)
		show_json(call_where(c), backends, listen, ways);
	else
		term_printf("Docker Model Runner is %srunning\n",
			    failed ? "not " : "");
	if (failed || as_json)
		return failed;
	term_printf("\n");
	if (show_engines(backends, e))
		return -1;
	return show_ways_in(call_where(c), listen, ways, e);
}
