#include "api/metrics.h"
#include "http/router.h"

#include <inttypes.h>
#include <stdio.h>
#include <uv.h>

/* Statuses that one row counts by number, at most; then comes "other". */
#define STATUSES 12
/* Names longer than this end in "..."; those that people give are shorter. */
#define NAME_BYTES 128

static const double bounds[] = { 0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
				 0.25,	0.5,   1,    2.5,   5,	  10,
				 30,	60,    120,  300 };

struct histogram {
	uint64_t counts[ARRAY_LEN(bounds) + 1]; /* not cumulative */
	double sum;
};

struct row {
	struct {
		int status;
		uint64_t n;
	} statuses[STATUSES + 1];
	struct histogram first_byte;
	struct histogram total;
};

struct model {
	char *name; /* owned */
	uint64_t prompt, cached, completion;
	uint64_t loads, failed_loads, load_ms;
};

struct metrics {
	const struct route *routes;
	size_t n_rows;
	struct row **rows; /* owned; NULL until a row is first used */
	size_t n_models;
	struct model models[METRICS_MODELS + 1];
};

struct metrics *metrics_new(const struct route *rows, size_t n_rows)
{
	struct metrics *m = xcalloc(1, sizeof *m);
	m->routes = rows;
	m->n_rows = n_rows;
	m->rows = xcalloc(n_rows + 1, sizeof *m->rows);
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (size_t i = 0; i <= m->n_rows; i++)
		free(m->rows[i]);
	for (size_t i = 0; i < m->n_models; i++)
		free(m->models[i].name);
	free(m->rows);
	free(m);
}

static void observe(struct histogram *h, uint64_t ns)
{
	double s = (double)ns / 1e9;
	size_t i = 0;
	while (i < ARRAY_LEN(bounds) && s > bounds[i])
		i++;
	h->counts[i]++;
	h->sum += s;
}

void metrics_request(struct metrics *m, size_t row, int status,
		     uint64_t first_byte_ns, uint64_t total_ns)
{
	struct row *r = m->rows[row];
	if (!r)
		r = m->rows[row] = xcalloc(1, sizeof *r);
	size_t i = 0;
	while (i < STATUSES && r->statuses[i].n &&
	       r->statuses[i].status != status)
		i++;
	r->statuses[i].status = status; /* of the last one not shown */
	r->statuses[i].n++;
	if (first_byte_ns)
		observe(&r->first_byte, first_byte_ns);
	observe(&r->total, total_ns);
}

static struct model *model_of(struct metrics *m, const char *name)
{
	char cut[NAME_BYTES + 1];
	if (strlen(name) > NAME_BYTES) {
		snprintf(cut, sizeof cut, "%.*s...", NAME_BYTES - 3, name);
		name = cut;
	}
	for (size_t i = 0; i < m->n_models; i++)
		if (strcmp(m->models[i].name, name) == 0)
			return &m->models[i];
	if (m->n_models == METRICS_MODELS)
		name = "other";
	else if (m->n_models > METRICS_MODELS)
		return &m->models[METRICS_MODELS];
	struct model *model = &m->models[m->n_models++];
	model->name = xstrdup(name);
	return model;
}

void metrics_tokens(struct metrics *m, const char *model, uint64_t prompt,
		    uint64_t cached, uint64_t completion)
{
	struct model *mo = model_of(m, model);
	mo->prompt += prompt;
	mo->cached += cached;
	mo->completion += completion;
}

void metrics_load(struct metrics *m, const char *model, bool ok, uint64_t ms)
{
	struct model *mo = model_of(m, model);
	if (ok) {
		mo->loads++;
		mo->load_ms += ms;
	} else {
		mo->failed_loads++;
	}
}

/* ---- printing ---- */

static int family(struct buf *out, const char *name, const char *type,
		  const char *help)
{
	return buf_printf(out, "# HELP modeld_%s %s\n# TYPE modeld_%s %s\n",
			  name, help, name, type);
}

/* A label's value: JSON's escapes are a superset that Prometheus reads the same
 * for what occurs in our names (backslash, quote, line feed). */
static int label(struct buf *out, const char *name, const char *value)
{
	return buf_printf(out, "%s=", name) || buf_put_json(out, str_of(value));
}

static const char *pattern_of(const struct metrics *m, size_t row)
{
	return row < m->n_rows ? m->routes[row].pattern : "none";
}

static const char *method_of(const struct metrics *m, size_t row)
{
	if (row == m->n_rows)
		return "any";
	return head_method_name(m->routes[row].method);
}

/* The beginning of a sample: its name and the labels of a row. */
static int sample(struct buf *out, const struct metrics *m, size_t row,
		  const char *name)
{
	return buf_printf(out, "modeld_%s{route=\"%s\",method=\"%s\"", name,
			  pattern_of(m, row), method_of(m, row));
}

static int print_histogram(struct buf *out, const struct metrics *m, size_t row,
			   const char *name, const struct histogram *h)
{
	auto_free char *bucket = xasprintf("%s_bucket", name);
	auto_free char *sum = xasprintf("%s_sum", name);
	auto_free char *count = xasprintf("%s_count", name);
	uint64_t n = 0;
	for (size_t i = 0; i <= ARRAY_LEN(bounds); i++) {
		char le[32] = "+Inf";
		n += h->counts[i];
		if (i < ARRAY_LEN(bounds))
			snprintf(le, sizeof le, "%g", bounds[i]);
		if (sample(out, m, row, bucket) ||
		    buf_printf(out, ",le=\"%s\"} %" PRIu64 "\n", le, n))
			return BUF_FULL;
	}
	return sample(out, m, row, sum) ||
	       buf_printf(out, "} %.6f\n", h->sum) ||
	       sample(out, m, row, count) ||
	       buf_printf(out, "} %" PRIu64 "\n", n);
}

static int print_statuses(struct buf *out, const struct metrics *m, size_t row)
{
	int full = 0;
	for (size_t k = 0; k <= STATUSES && !full; k++) {
		char status[16] = "other";
		if (!m->rows[row]->statuses[k].n)
			break;
		if (k < STATUSES)
			snprintf(status, sizeof status, "%d",
				 m->rows[row]->statuses[k].status);
		full = sample(out, m, row, "http_requests_total") ||
		       buf_printf(out, ",status=\"%s\"} %" PRIu64 "\n", status,
				  m->rows[row]->statuses[k].n);
	}
	return full;
}

static int print_requests(struct metrics *m, struct buf *out)
{
	int full = family(out, "http_requests_total", "counter",
			  "Requests by route, method and status.");
	for (size_t i = 0; i <= m->n_rows && !full; i++)
		if (m->rows[i])
			full = print_statuses(out, m, i);
	if (!full)
		full = family(out, "http_first_byte_seconds", "histogram",
			      "Time from a request's head to the first byte "
			      "of its answer.");
	for (size_t i = 0; i <= m->n_rows && !full; i++)
		if (m->rows[i])
			full = print_histogram(out, m, i,
					       "http_first_byte_seconds",
					       &m->rows[i]->first_byte);
	if (!full)
		full = family(out, "http_request_seconds", "histogram",
			      "Time from a request's head to the end of its "
			      "answer.");
	for (size_t i = 0; i <= m->n_rows && !full; i++)
		if (m->rows[i])
			full = print_histogram(out, m, i,
					       "http_request_seconds",
					       &m->rows[i]->total);
	return full;
}

/* One counter of every model; `offset` is the counter's place in the struct. */
static int print_models(struct metrics *m, struct buf *out, const char *name,
			size_t offset, const char *help)
{
	int full = family(out, name, "counter", help);
	for (size_t i = 0; i < m->n_models && !full; i++) {
		uint64_t v;
		memcpy(&v, (const char *)&m->models[i] + offset, sizeof v);
		full = buf_printf(out, "modeld_%s{", name) ||
		       label(out, "model", m->models[i].name) ||
		       buf_printf(out, "} %" PRIu64 "\n", v);
	}
	return full;
}

struct gauge {
	struct buf *out;
	int full;
	const char *name;
	uint64_t (*value)(const struct engine_running *r);
};

static uint64_t users(const struct engine_running *r)
{
	return r->users;
}

static uint64_t waiting(const struct engine_running *r)
{
	return r->waiting;
}

static uint64_t memory(const struct engine_running *r)
{
	return r->memory_bytes;
}

static uint64_t is_loaded(const struct engine_running *r)
{
	return !r->is_loading;
}

static void print_gauge(void *ctx, const struct engine_running *r)
{
	struct gauge *g = ctx;
	if (!g->full)
		g->full = buf_printf(g->out, "modeld_%s{", g->name) ||
			  label(g->out, "model", r->model) ||
			  buf_printf(g->out,
				     ",model_id=\"%s\",engine=\"%s\"} "
				     "%" PRIu64 "\n",
				     r->model_id, r->engine, g->value(r));
}

static int print_running(struct engine_set *engines, struct buf *out)
{
	static const struct {
		const char *name, *help;
		uint64_t (*value)(const struct engine_running *r);
	} gauges[] = {
		{ "requests_running", "Requests that an engine works on.",
		  users },
		{ "requests_queued", "Requests that wait for a model to load.",
		  waiting },
		{ "model_loaded", "1 when the model can answer.", is_loaded },
		{ "engine_memory_bytes", "Resident memory of the engine.",
		  memory },
	};
	for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
		struct gauge g = { .out = out,
				   .name = gauges[i].name,
				   .value = gauges[i].value };
		if (family(out, g.name, "gauge", gauges[i].help))
			return BUF_FULL;
		list_each (it, &engines->engines) {
			struct engine *en =
				container_of(it, struct engine, link);
			en->kind->each_running(en, print_gauge, &g);
		}
		if (g.full)
			return BUF_FULL;
	}
	return 0;
}

static uint64_t own_memory(void)
{
	size_t bytes = 0;
	return uv_resident_set_memory(&bytes) ? 0 : bytes;
}

static int print_bulk(const struct brake_facts *f, struct buf *out)
{
	return family(out, "bulk_held", "gauge",
		      "1 while pulls and the like wait for answers.") ||
	       buf_printf(out, "modeld_bulk_held %d\n", f->is_held) ||
	       family(out, "bulk_windows_total", "counter",
		      "Times that they went on although answers were made.") ||
	       buf_printf(out, "modeld_bulk_windows_total %" PRIu64 "\n",
			  f->windows) ||
	       family(out, "bulk_waits_total", "counter",
		      "Pieces of them that had to wait.") ||
	       buf_printf(out, "modeld_bulk_waits_total %" PRIu64 "\n",
			  f->waits);
}

int metrics_print(struct metrics *m, const struct metrics_others *o,
		  struct buf *out)
{
#define MODEL(name, member, help) \
	print_models(m, out, name, offsetof(struct model, member), help)
	return print_requests(m, out) ||
	       MODEL("prompt_tokens_total", prompt,
		     "Tokens of prompts, cached ones too.") ||
	       MODEL("cached_prompt_tokens_total", cached,
		     "Tokens of prompts that were not computed again.") ||
	       MODEL("completion_tokens_total", completion,
		     "Tokens generated.") ||
	       MODEL("model_loads_total", loads, "Models loaded.") ||
	       MODEL("model_load_failures_total", failed_loads,
		     "Models that could not be loaded.") ||
	       MODEL("model_load_milliseconds_total", load_ms,
		     "Time that loads took.") ||
	       print_running(o->engines, out) || print_bulk(&o->bulk, out) ||
	       family(out, "http_exchanges_open", "gauge",
		      "Requests that are not yet answered.") ||
	       buf_printf(out, "modeld_http_exchanges_open %zu\n", o->open) ||
	       family(out, "memory_bytes", "gauge",
		      "Resident memory of modeld itself.") ||
	       buf_printf(out, "modeld_memory_bytes %" PRIu64 "\n",
			  own_memory());
#undef MODEL
}
