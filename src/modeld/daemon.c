/* The order of things: store, engines, API, listeners, then "ready". Any
 * listener may fail without stopping the others; with none left modeld ends.
 * SIGTERM or SIGINT drains: no new connections, running answers finish within
 * LIMIT_DRAIN_MS; a second signal ends at once. */
#include "modeld/daemon.h"
#include "api/api.h"
#include "api/configure.h"
#include "api/keys.h"
#include "api/recorder.h"
#include "api/routes.h"
#include "base/limits.h"
#include "engine/budget.h"
#include "engine/engine_llama.h"
#include "engine/engine_openai.h"
#include "engine/tunings.h"
#include "hub/hub.h"
#include "io/brake.h"
#include "io/lane.h"
#include "io/timer.h"
#include "io/notify.h"
#include "oci/push.h"
#include "modeld/helper.h"
#include "modeld/rundir.h"
#include "modeld/ways.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

/* While it drains, how often it looks whether all answers are done. */
#define DRAIN_LOOK_MS 20

struct daemon {
	uv_loop_t loop;
	struct options *options;
	int argc;
	char **argv;
	struct certs certs;
	struct ways ways;
	struct gates gates;	/* of the helper */
	struct helper *helper;	/* owned */
	uv_signal_t signals[3]; /* TERM, INT, HUP */
	struct timer drain;
	uint64_t drain_until_ms;
	struct rundir rundir; /* of the workers' sockets */
	struct engine_set engines;
	struct engine *llama; /* in engines */
	struct access access;
	struct keys *keys;   /* owned; in access when the options name a file */
	struct brake *brake; /* owned; bulk work gives way to the engines */
	struct registry_set *registries;
	struct hub *hub;
	struct api api;
};

/* ---- engines ---- */

static void on_loaded(void *ctx, const char *model, uint64_t ms)
{
	struct daemon *d = ctx;
	metrics_load(d->api.metrics, model, true, ms);
}

static void on_load_failed(void *ctx, const char *model, const struct err *e)
{
	struct daemon *d = ctx;
	(void)e;
	metrics_load(d->api.metrics, model, false, 0);
}

/* ---- engines elsewhere, as the configuration has them ---- */

static int add_engine(struct daemon *d, const char *name, const json_t *config,
		      struct engine_set *to, struct err *e)
{
	struct str kind = { 0 };
	struct engine *en;
	if (!json_is_object(config))
		return err_set(e, ERR_USAGE, "engine '%s' must be an object",
			       name);
	if (json_get_str(config, "kind", &kind, e))
		return err_wrap(e, "engine '%s'", name);
	if (!str_eq(kind, engine_openai.name))
		return err_set(e, ERR_USAGE,
			       "engine '%s': 'kind' must be \"openai\"", name);
	if (!name[0] || strcmp(name, "v1") == 0 || strchr(name, '/') ||
	    strcmp(name, d->llama->name) == 0)
		return err_set(e, ERR_USAGE, "an engine cannot be called '%s'",
			       name);
	if (engine_openai_new(&d->loop, name, config, &en, e))
		return -1;
	engine_set_add(to, en);
	return 0;
}

static int add_all(struct daemon *d, json_t *configs, struct engine_set *to,
		   struct err *e)
{
	const char *name;
	json_t *config;
	json_object_foreach(
		configs, name,
		config) if (add_engine(d, name, config, to, e)) return -1;
	return 0;
}

/* These instead of those there were; a wrong one among them changes nothing. */
static int replace_engines(struct daemon *d, json_t *configs, struct err *e)
{
	struct engine_set fresh;
	engine_set_init(&fresh);
	if (add_all(d, configs, &fresh, e)) {
		engine_set_fini(&fresh);
		return -1;
	}
	engine_set_retire(&d->engines, &engine_openai);
	while (!list_is_empty(&fresh.engines)) {
		struct list *first = fresh.engines.prev;
		list_remove(first);
		engine_set_add(&d->engines,
			       container_of(first, struct engine, link));
	}
	return 0;
}

static void add_llama(struct daemon *d)
{
	struct engine_llama_config c = {
		.program = d->options->llama,
		.pool = {
			.run_dir = d->rundir.path,
			.budget_bytes = d->options->memory_bytes,
			.keep_alive_ms = d->options->keep_alive_ms,
			.brake = d->brake,
			.fns = { .on_loaded = on_loaded,
				 .on_load_failed = on_load_failed },
			.ctx = d,
		},
		.tunings = d->api.tunings,
		.catalog = d->api.catalog,
		.no_sandbox = !d->options->sandbox,
	};
	if (!c.pool.budget_bytes)
		c.pool.budget_bytes = budget_default();
	d->llama = engine_llama_new(&d->loop, &c);
	engine_set_add(&d->engines, d->llama);
}

static void tell_ready(struct daemon *d)
{
	notify_systemd("READY=1");
	if (d->options->ready_fd < 0)
		return;
	if (write(d->options->ready_fd, "\n", 1) < 0)
		log_warn("ready-fd cannot be written error=\"%s\"",
			 strerror(errno));
	close(d->options->ready_fd);
	d->options->ready_fd = -1;
}

static struct registry_settings registry_settings(const struct options *o)
{
	return (struct registry_settings){ .default_registry = o->registry,
					   .insecure = o->insecure,
					   .mirrors = o->mirrors };
}

/* Where the programs of Hugging Face keep the user's token. */
static char *token_file(const struct options *o)
{
	const char *home = getenv("HF_HOME");
	if (o->hf_token_file)
		return xstrdup(o->hf_token_file);
	if (home && home[0])
		return xasprintf("%s/token", home);
	home = getenv("HOME");
	return home ? xasprintf("%s/.cache/huggingface/token", home) : NULL;
}

static void set_hub(struct daemon *d, const struct options *o)
{
	auto_free char *file = token_file(o);
	const struct hub_settings s = { .endpoint = o->hf_endpoint,
					.token = getenv("HF_TOKEN"),
					.token_file = file };
	if (d->hub)
		hub_change(d->hub, &s);
	else
		d->hub = hub_new(&s);
	d->api.hub = d->hub;
}

static void open_bulk(struct daemon *d)
{
	d->brake = brake_new(LIMIT_BULK_HELD_MS, LIMIT_BULK_WINDOW_MS);
	d->api.brake = d->brake;
	d->api.bulk = lane_new(&d->loop, LIMIT_BULK_JOBS, d->brake);
	set_hub(d, d->options);
	struct registry_settings s = registry_settings(d->options);
	d->registries = registry_set_new(&d->loop, &s);
	d->api.pulls = pull_set_new(d->registries, d->api.store, d->brake);
	d->api.pushes = push_set_new(d->registries, d->api.store, d->brake);
}

/* ---- signals ---- */

static void on_drain_look(void *ctx)
{
	struct daemon *d = ctx;
	size_t open = http_server_count(d->api.server);
	if (open && timer_now_ms(&d->loop) < d->drain_until_ms) {
		timer_start(&d->drain, DRAIN_LOOK_MS);
		return;
	}
	if (open)
		log_warn("answers are cut, they took too long count=%zu", open);
	uv_stop(&d->loop);
}

static void on_stop(uv_signal_t *signal, int number)
{
	struct daemon *d = signal->data;
	(void)number;
	if (d->api.is_draining) {
		uv_stop(&d->loop);
		return;
	}
	log_info("stops open=%zu", http_server_count(d->api.server));
	notify_systemd("STOPPING=1");
	d->api.is_draining = true;
	ways_stop(&d->ways);
	helper_follow(d->helper, NULL, 0);
	journal_end_followers(d->api.journal);
	pull_set_stop(d->api.pulls);
	push_set_stop(d->api.pushes);
	recorder_end_followers(d->api.recorder);
	http_server_drain(d->api.server);
	d->drain_until_ms = timer_now_ms(&d->loop) + LIMIT_DRAIN_MS;
	timer_start(&d->drain, 0);
}

/* The keys that the options name, if they do. */
static int read_keys(const struct options *o, struct keyfile *out,
		     struct err *e)
{
	*out = (struct keyfile){ 0 };
	if (!options_has_keys(o))
		return 0;
	int got = keyfile_read(o->keys, out, e);
	if (got == KEYFILE_ABSENT)
		return err_set(e, ERR_USAGE,
			       "there is no file of API keys %s; 'docker model "
			       "key add NAME --file %s' makes it",
			       o->keys, o->keys);
	return got;
}

static void set_keys(struct daemon *d, struct keyfile *f)
{
	size_t n = f->n;
	keys_set(d->keys, f, timer_now_ms(&d->loop));
	d->access.keys = options_has_keys(d->options) ? d->keys : NULL;
	if (d->access.keys)
		log_info("API keys are needed on TCP count=%zu", n);
}

static void apply(struct daemon *d)
{
	const struct options *o = d->options;
	bool is_off = o->containers == ACCESS_MODE_OFF ||
		      strcmp(o->helper, "off") == 0;
	access_set_origins(&d->access, o->origins);
	access_set_names(&d->access, o->names);
	d->access.containers = o->containers;
	json_object_set_new(d->api.places, "containers",
			    json_string(options_containers(o)));
	d->api.shares_cache = o->share_cache;
	recorder_set_on(d->api.recorder, o->record);
	if (!d->api.is_draining)
		helper_follow(d->helper, is_off ? NULL : o->helper,
			      ways_port(&d->ways));
}

/* While somebody replaces the file there may be none for a moment, and what
 * stands without one asks for no keys. */
static int check_file(const struct options *was, const struct options *is,
		      struct err *e)
{
	if (!was->has_file || is->has_file)
		return 0;
	return err_set(e, ERR_USAGE,
		       "%s is gone; put it back, or start modeld again to do "
		       "without it",
		       is->config);
}

/* What can change while it runs: the port, what containers may do, the log
 * level, origins, keep-alive and the engines elsewhere. A wrong file changes
 * nothing. */
static void on_reload(uv_signal_t *signal, int number)
{
	struct daemon *d = signal->data;
	struct options fresh;
	struct keyfile keyfile = { 0 };
	struct err e;
	(void)number;
	if (options_read(&fresh, d->argc, d->argv, &e) ||
	    check_file(d->options, &fresh, &e) ||
	    read_keys(&fresh, &keyfile, &e) ||
	    certs_load(&d->certs, &fresh, &e) ||
	    replace_engines(d, fresh.engines, &e)) {
		log_error("settings not read again: %s", e.msg);
		keyfile_fini(&keyfile);
		options_fini(&fresh);
		return;
	}
	ways_follow(&d->ways, d->options, &fresh);
	options_fini(d->options);
	*d->options = fresh;
	log_set_level(fresh.log_level);
	set_keys(d, &keyfile);
	apply(d);
	struct registry_settings s = registry_settings(&fresh);
	registry_set_change(d->registries, &s);
	set_hub(d, &fresh);
	engine_llama_set_keep_alive(d->llama, fresh.keep_alive_ms);
	log_info("settings read again");
}

static void watch_signals(struct daemon *d)
{
	static const struct {
		int number;
		uv_signal_cb fn;
	} watched[] = { { SIGTERM, on_stop },
			{ SIGINT, on_stop },
			{ SIGHUP, on_reload } };
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
		uv_signal_init(&d->loop, &d->signals[i]);
		d->signals[i].data = d;
		uv_signal_start(&d->signals[i], watched[i].fn,
				watched[i].number);
	}
}

/* ---- start and end ---- */

static int start(struct daemon *d, struct err *e)
{
	struct api *api = &d->api;
	size_t n_rows;
	struct keyfile keyfile;
	const struct route *rows = routes_table(&n_rows);
	d->keys = keys_new();
	if (read_keys(d->options, &keyfile, e))
		return -1;
	set_keys(d, &keyfile);
	if (rundir_make(&d->rundir, e) ||
	    store_open(d->options->store, &api->store, e))
		return -1;
	api->catalog = catalog_new(api->store, d->options->registry);
	api->tunings = tunings_open(d->options->store);
	api->metrics = metrics_new(rows, n_rows);
	api->has_metrics = d->options->metrics;
	api->engines = &d->engines;
	api->access = &d->access;
	api->loop = &d->loop;
	open_bulk(d);
	api->recorder = recorder_new(&d->loop);
	api->listen = json_array();
	api->places = json_pack("{s:s,s:s,s:s}", "config", d->options->config,
				"store", d->options->store, "llama",
				d->options->llama);
	add_llama(d);
	if (replace_engines(d, d->options->engines, e))
		return -1;
	api->server = http_server_new(&d->loop, &api_server_fns, api);
	gates_init(&d->gates, &d->ways);
	d->helper = helper_new(&d->gates);
	if (certs_load(&d->certs, d->options, e) ||
	    ways_open(&d->ways, d->options, e))
		return -1;
	apply(d);
	return 0;
}

static void stop(struct daemon *d)
{
	ways_stop(&d->ways);
	http_server_free(d->api.server); /* its streams know their listener */
	if (d->api.pulls) {
		pull_set_stop(d->api.pulls);
		push_set_stop(d->api.pushes);
	}
	registry_set_free(d->registries);
	hub_free(d->hub);
	helper_free(d->helper);
	gates_fini(&d->gates);
	ways_fini(&d->ways);
	certs_fini(&d->certs);
	configure_stop(&d->api);
	engine_set_fini(&d->engines);
	timer_fini(&d->drain);
	for (size_t i = 0; i < ARRAY_LEN(d->signals); i++)
		if (d->signals[i].loop)
			uv_close((uv_handle_t *)&d->signals[i], NULL);
	/* What is closed ends here, and jobs, which use the store. */
	uv_run(&d->loop, UV_RUN_DEFAULT);
	pull_set_free(d->api.pulls);
	push_set_free(d->api.pushes);
	lane_free(d->api.bulk);
	brake_free(d->brake);
	journal_free(d->api.journal);
	recorder_free(d->api.recorder);
	tunings_free(d->api.tunings);
	catalog_free(d->api.catalog);
	store_free(d->api.store);
	metrics_free(d->api.metrics);
	json_decref(d->api.listen);
	json_decref(d->api.places);
	access_fini(&d->access);
	keys_free(d->keys);
	rundir_fini(&d->rundir);
	uv_loop_close(&d->loop);
}

int daemon_run(struct options *o, int argc, char **argv, struct err *e)
{
	struct daemon *d = xcalloc(1, sizeof *d);
	struct rlimit files;
	d->options = o;
	d->argc = argc;
	d->argv = argv;
	/* Thousands of streams need as many descriptors. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Jobs are few and short: one heap is enough, and smaller. */
	mallopt(M_ARENA_MAX, 1);
	uv_loop_init(&d->loop);
	timer_init(&d->drain, &d->loop, on_drain_look, d);
	engine_set_init(&d->engines);
	list_init(&d->api.preloads);
	certs_init(&d->certs, &d->loop, d->options);
	ways_init(&d->ways, &d->loop, &d->api, &d->certs);
	d->api.journal = journal_new();
	int got = start(d, e);
	if (got == 0) {
		watch_signals(d);
		tell_ready(d);
		uv_run(&d->loop, UV_RUN_DEFAULT);
		log_info("stopped");
	}
	stop(d);
	free(d);
	return got;
}
