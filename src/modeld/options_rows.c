#include "modeld/options_rows.h"
#include "base/limits.h"
#include "io/weburl.h"
#include "modeld/options_value.h"

#include <stdio.h>
#include <string.h>

static int replace(char **slot, const char *text)
{
	free(*slot);
	*slot = xstrdup(text);
	return 0;
}

static int replace_path(char **slot, const char *text, struct err *e)
{
	if (!text[0])
		return err_set(e, ERR_USAGE, "an empty path");
	return replace(slot, text);
}

static int set_port(struct options *o, const char *text, struct err *e)
{
	return options_value_port(text, &o->port, e);
}

static int set_tls_port(struct options *o, const char *text, struct err *e)
{
	return options_value_port(text, &o->tls_port, e);
}

static int set_tls_cert(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->tls_cert, text, e);
}

static int set_tls_key(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->tls_key, text, e);
}

static int set_bind(struct options *o, const char *text, struct err *e)
{
	return options_value_address(text, e) ? -1 : replace(&o->bind, text);
}

static int set_keys(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->keys, text, e);
}

static int set_names(struct options *o, const char *text, struct err *e)
{
	size_t n = 1;
	for (const char *p = text; *p; p++)
		n += *p == ',';
	if (n > LIMIT_NAMES)
		return err_set(e, ERR_USAGE, "there may be %d names",
			       LIMIT_NAMES);
	return replace(&o->names, text);
}

static int set_socket(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->socket, text, e);
}

static int set_store(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->store, text, e);
}

static int set_containers(struct options *o, const char *text, struct err *e)
{
	return options_value_mode(text, &o->containers, e);
}

static int set_helper(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->helper, text, e);
}

static int set_llama(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->llama, text, e);
}

static int set_origins(struct options *o, const char *text, struct err *e)
{
	(void)e;
	return replace(&o->origins, text);
}

static int set_insecure(struct options *o, const char *text, struct err *e)
{
	(void)e;
	return replace(&o->insecure, strcmp(text, "false") ? text : "");
}

static int set_mirrors(struct options *o, const char *text, struct err *e)
{
	(void)e;
	return replace(&o->mirrors, text);
}

static int set_hf_endpoint(struct options *o, const char *text, struct err *e)
{
	struct weburl url;
	if (weburl_parse(str_of(text), &url, e))
		return -1;
	return replace(&o->hf_endpoint, text);
}

static int set_hf_token_file(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->hf_token_file, text, e);
}

static int set_registry(struct options *o, const char *text, struct err *e)
{
	(void)e;
	return replace(&o->registry, text);
}

static int set_keep_alive(struct options *o, const char *text, struct err *e)
{
	return options_value_duration(text, &o->keep_alive_ms, e);
}

static int set_memory(struct options *o, const char *text, struct err *e)
{
	return options_value_size(text, &o->memory_bytes, e);
}

static int set_metrics(struct options *o, const char *text, struct err *e)
{
	return options_value_switch(text, &o->metrics, e);
}

static int set_sandbox(struct options *o, const char *text, struct err *e)
{
	return options_value_switch(text, &o->sandbox, e);
}

static int set_record(struct options *o, const char *text, struct err *e)
{
	return options_value_switch(text, &o->record, e);
}

static int set_share_cache(struct options *o, const char *text, struct err *e)
{
	return options_value_switch(text, &o->share_cache, e);
}

static int set_log_level(struct options *o, const char *text, struct err *e)
{
	if (log_level_parse(text, &o->log_level))
		return 0;
	return err_set(e, ERR_USAGE,
		       "'%s' is not a log level: error, warn, info or debug",
		       text);
}

static int set_ready_fd(struct options *o, const char *text, struct err *e)
{
	return options_value_fd(text, &o->ready_fd, e);
}

static int set_config(struct options *o, const char *text, struct err *e)
{
	(void)e;
	return replace(&o->config, text);
}

/* OPT(name, argument, variable, in the file, function, help) */
#define OPT(name, arg, env, in_file, fn, help)    \
	{                                         \
		name, arg, env, in_file, fn, help \
	}

static const struct options_row rows[] = {
	/* clang-format off */
	OPT("port", "N|off", "MODEL_RUNNER_PORT", true, set_port,
	    "TCP port on loopback (12434)"),
	OPT("bind", "ADDR", NULL, true, set_bind,
	    "address to listen on (localhost: 127.0.0.1 and ::1)"),
	OPT("tls-port", "N|off", NULL, true, set_tls_port,
	    "TCP port for TLS (off; MODEL_RUNNER_TLS_ENABLED=1 is 12444)"),
	OPT("tls-cert", "FILE", "MODEL_RUNNER_TLS_CERT", true, set_tls_cert,
	    "certificate, PEM (made by an authority of this machine)"),
	OPT("tls-key", "FILE", "MODEL_RUNNER_TLS_KEY", true, set_tls_key,
	    "its key, PEM"),
	OPT("keys", "FILE|off", NULL, true, set_keys,
	    "API keys: with them, only local sockets need none (off)"),
	OPT("names", "LIST", NULL, true, set_names,
	    "names of this server that clients with a key may use"),
	OPT("socket", "PATH|off", "MODEL_RUNNER_SOCK", true, set_socket,
	    "Unix socket (modeld.sock in the runtime folder)"),
	OPT("store", "DIR", "MODELS_PATH", true, set_store,
	    "where models are kept (~/.docker/models)"),
	OPT("containers", "off|inference|full", NULL, true, set_containers,
	    "what containers may do (inference)"),
	OPT("helper", "PATH|off", NULL, true, set_helper,
	    "socket of modeld-docker, for containers "
	    "(/run/modeld-docker/helper.sock)"),
	OPT("share-cache", "on|off", NULL, true, set_share_cache,
	    "all callers use one cache of prompts (off)"),
	OPT("record", "on|off", NULL, true, set_record,
	    "keep the last requests in memory, for GET /engines/requests (on)"),
	OPT("llama", "PATH", NULL, true, set_llama,
	    "the program modeld-llama"),
	OPT("sandbox", "on|off", NULL, true, set_sandbox,
	    "engines may do nothing but serve their model (on)"),
	OPT("keep-alive", "TIME", NULL, true, set_keep_alive,
	    "how long an unused model stays in memory (5m; -1: for ever)"),
	OPT("memory", "SIZE", NULL, true, set_memory,
	    "memory for models (nine tenths of what there is)"),
	OPT("origins", "LIST", "DMR_ORIGINS", true, set_origins,
	    "web pages beyond localhost's that may call, comma-separated"),
	OPT("registry", "HOST", "DEFAULT_REGISTRY", true, set_registry,
	    "registry of names that have none (docker.io)"),
	OPT("insecure-registry", "true|LIST", "INSECURE_REGISTRY", true,
	    set_insecure, "registries spoken to in plain http"),
	OPT("registry-mirrors", "LIST", "MODEL_RUNNER_REGISTRY_MIRRORS", true,
	    set_mirrors, "mirrors of docker.io to ask first: URLs"),
	OPT("hf-endpoint", "URL", "HF_ENDPOINT", true, set_hf_endpoint,
	    "where hf.co/... comes from (https://huggingface.co)"),
	OPT("hf-token-file", "FILE", "HF_TOKEN_PATH", true, set_hf_token_file,
	    "token for it, unless HF_TOKEN is set "
	    "(~/.cache/huggingface/token)"),
	OPT("metrics", "on|off", NULL, true, set_metrics,
	    "serve GET /metrics (on; DISABLE_METRICS=1 is off)"),
	OPT("log-level", "LEVEL", "LOG_LEVEL", true, set_log_level,
	    "error, warn, info or debug (info)"),
	OPT("config", "FILE", NULL, false, set_config,
	    "configuration file, JSON"),
	OPT("ready-fd", "N", NULL, false, set_ready_fd,
	    "write a newline there once every listener accepts"),
	/* clang-format on */
};

void options_rows_help(void)
{
	printf("Usage: modeld [OPTIONS]\n\n"
	       "Serves language models over the OpenAI API.\n\nOptions:\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char left[48];
		snprintf(left, sizeof left, "--%s %s", rows[i].name,
			 rows[i].arg);
		printf("  %-22s %s\n", left, rows[i].help);
		if (rows[i].env)
			printf("  %-22s [%s]\n", "", rows[i].env);
	}
	printf("  %-22s %s\n  %-22s %s\n\n", "--help", "show this", "--version",
	       "show the version");
	printf("A flag wins over its variable in [], that over the file, where "
	       "options are\nwritten with '_': {\"log_level\": \"debug\"}. "
	       "SIGHUP reads the file again;\nSIGTERM lets running answers "
	       "finish and ends.\n");
}

const struct options_row *options_rows_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(name, rows[i].name))
			return &rows[i];
	return NULL;
}

const struct options_row *options_rows_get(size_t i)
{
	return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}
