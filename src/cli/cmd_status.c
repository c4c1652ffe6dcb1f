#include "base/limits.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/term.h"

/* Another program at the port may take a request and say nothing. */
#define PROBE_MS 1000
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

/* What programs on this host are given as base URL, less "/v1". */
static const char *host_url(const struct where *w)
{
	return w->kind == WHERE_HOST ? w->text : WHERE_PORT_URL;
}

static bool answers(const char *url)
{
	auto_(call) c = NULL;
	auto_buf struct buf text;
	struct err unused;
	buf_init(&text, LIMIT_SMALL_BODY_BYTES);
	return !call_open_url(url, &c, &unused) &&
	       !call_text(c,
			  &(struct call_request){ .method = "GET",
						  .path = "/version",
						  .limit_ms = PROBE_MS },
			  &text, &unused);
}

/* The addresses that lead to the server; the one in use does. */
static int show_ways_in(const struct where *w, struct err *e)
{
	static const char *const titles[] = { "WAY IN", "ADDRESS", "STATUS",
					      NULL };
	auto_(table) t = table_new(titles);
	auto_free char *api = xasprintf("%s/v1", host_url(w));
	bool is_host = w->kind != WHERE_SOCKET;
	table_put(t, STR("OpenAI API"));
	table_put(t, str_of(api));
	table_put(t, is_host || answers(WHERE_PORT_URL) ? STR("Answers")
							: STR("No answer"));
	if (!is_host) {
		table_put(t, STR("Socket"));
		table_put(t, str_of(w->text));
		table_put(t, STR("Answers"));
	}
	term_printf("\n");
	return table_print(t, e);
}

static void show_json(const struct where *w, json_t *backends)
{
	auto_free char *inside = xasprintf(
		"%s/v1/", w->kind == WHERE_HOST ? w->text : CONTAINER_URL);
	auto_free char *outside = xasprintf("%s/v1/", host_url(w));
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
	if (call_open(&c, e))
		return -1;
	int failed =
		call_json(c, "GET", "/engines/status", STR(""), &backends, e);
	if (as_json)
		show_json(call_where(c), backends);
	else
		term_printf("Docker Model Runner is %srunning\n",
			    failed ? "not " : "");
	if (failed || as_json)
		return failed;
	term_printf("\n");
	return show_engines(backends, e) ? -1 : show_ways_in(call_where(c), e);
}
