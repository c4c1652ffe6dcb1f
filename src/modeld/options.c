#include "modeld/options.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/paths.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELPER_PATH "/run/modeld-docker/helper.sock"

#define DEFAULT_TLS_PORT 12444 /* Docker Model Runner's */

typedef int (*set_fn)(struct options *o, const char *text, struct err *e);

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

static int read_port(const char *text, int *out, struct err *e)
{
	uint64_t port;
	if (strcmp(text, "off") == 0) {
		*out = OPTIONS_PORT_OFF;
		return 0;
	}
	if (!str_to_u64(str_of(text), &port) || port > 65535)
		return err_set(e, ERR_USAGE,
			       "'%s' is not a port: a number up to 65535, or "
			       "off",
			       text);
	*out = (int)port;
	return 0;
}

static int set_port(struct options *o, const char *text, struct err *e)
{
	return read_port(text, &o->port, e);
}

static int set_tls_port(struct options *o, const char *text, struct err *e)
{
	return read_port(text, &o->tls_port, e);
}

static int set_tls_cert(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->tls_cert, text, e);
}

static int set_tls_key(struct options *o, const char *text, struct err *e)
{
	return replace_path(&o->tls_key, text, e);
}

bool options_is_loopback(const char *ip)
{
	return !strcmp(ip, "localhost") || !strcmp(ip, "::1") ||
	       !strncmp(ip, "127.", 4);
}

static int set_bind(struct options *o, const char *text, struct err *e)
{
	unsigned char ip[16];
	if (strcmp(text, "localhost") != 0 &&
	    inet_pton(AF_INET, text, ip) != 1 &&
	    inet_pton(AF_INET6, text, ip) != 1)
		return err_set(e, ERR_USAGE,
			       "'%s' is not an address: localhost, 127.0.0.1, "
			       "192.0.2.7, 0.0.0.0 or ::",
			       text);
	return replace(&o->bind, text);
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

static const char *const mode_words[] = { [ACCESS_MODE_OFF] = "off",
					  [ACCESS_MODE_INFERENCE] = "inference",
					  [ACCESS_MODE_FULL] = "full" };

const char *options_containers(const struct options *o)
{
	return mode_words[o->containers];
}

static int set_containers(struct options *o, const char *text, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_words); i++)
		if (strcmp(text, mode_words[i]) == 0) {
			o->containers = (enum access_mode)i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "'%s' is not off, inference or full",
		       text);
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

static int set_registry(struct options *o, const char *text, struct err *e)
{
	(void)e;
	return replace(&o->registry, text);
}

/* Go's durations, as Docker Model Runner's keep_alive has them: "5m",
 * "1h30m", "90s", "0", "-1" (for ever). */
static int set_keep_alive(struct options *o, const char *text, struct err *e)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ms", 1 }, { "s", 1e3 }, { "m", 6e4 }, { "h", 36e5 } };
	const char *p = text;
	double total = 0;
	if (!*p)
		return err_set(e, ERR_USAGE, "an empty duration");
	if (*p == '-') {
		o->keep_alive_ms = -1;
		return 0;
	}
	while (*p) {
		char *end;
		double n = strtod(p, &end);
		size_t i = 0, len = strspn(end, "hms");
		while (i < ARRAY_LEN(units) &&
		       !str_eq((struct str){ end, len }, units[i].unit))
			i++;
		bool zero = n == 0 && end != p && !*end;
		if (end == p || (i == ARRAY_LEN(units) && !zero) || !(n >= 0))
			return err_set(e, ERR_USAGE,
				       "'%s' is not a duration: 5m, 1h30m, "
				       "90s, 0 or -1 (for ever)",
				       text);
		total += zero ? 0 : n * units[i].ms;
		p = end + len;
	}
	o->keep_alive_ms = total < 1e15 ? (int64_t)total : -1;
	return 0;
}

static int set_memory(struct options *o, const char *text, struct err *e)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	size_t digits = strspn(text, "0123456789");
	uint64_t n;
	int shift = 0;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(text + digits, units[i]) == 0)
			shift = 10 * (int)(i + 1);
	if ((text[digits] && !shift) ||
	    !str_to_u64((struct str){ text, digits }, &n) || !n ||
	    n > UINT64_MAX >> shift)
		return err_set(e, ERR_USAGE,
			       "'%s' is not a size: 8GiB, 900MiB or bytes",
			       text);
	o->memory_bytes = n << shift;
	return 0;
}

static int set_switch(bool *slot, const char *text, struct err *e)
{
	if (strcmp(text, "on") && strcmp(text, "off"))
		return err_set(e, ERR_USAGE, "'%s' is neither on nor off",
			       text);
	*slot = strcmp(text, "on") == 0;
	return 0;
}

static int set_metrics(struct options *o, const char *text, struct err *e)
{
	return set_switch(&o->metrics, text, e);
}

static int set_record(struct options *o, const char *text, struct err *e)
{
	return set_switch(&o->record, text, e);
}

static int set_share_cache(struct options *o, const char *text, struct err *e)
{
	return set_switch(&o->share_cache, text, e);
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
	uint64_t fd;
	/* Whether it is open shows when it is written to: at a reload it has
	 * long been closed. */
	if (!str_to_u64(str_of(text), &fd) || fd > 65535)
		return err_set(e, ERR_USAGE, "'%s' is not a file descriptor",
			       text);
	o->ready_fd = (int)fd;
	return 0;
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

static const struct option_row {
	const char *name, *arg;
	const char *env; /* or NULL */
	bool in_file;	 /* with the name's '-' as '_' */
	set_fn set;
	const char *help;
} rows[] = {
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

static void help(void)
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

static const struct option_row *find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(name, rows[i].name))
			return &rows[i];
	return NULL;
}

/* One flag at argv[*i], "--name value" or "--name=value". */
static int read_flag(struct options *o, char **argv, int *i, struct err *e)
{
	struct str text = str_of(argv[*i]);
	if (!str_starts(text, "--"))
		return err_set(e, ERR_USAGE,
			       "'%s' is not an option; see modeld --help",
			       argv[*i]);
	text = str_tail(text, 2);
	ptrdiff_t eq = str_find(text, '=');
	const struct option_row *row =
		find(eq < 0 ? text : str_head(text, (size_t)eq));
	if (!row)
		return err_set(e, ERR_USAGE,
			       "there is no option '%s'; see modeld --help",
			       argv[*i]);
	const char *value = eq < 0 ? argv[++*i] : text.p + eq + 1;
	if (!value)
		return err_set(e, ERR_USAGE, "--%s needs a value: %s",
			       row->name, row->arg);
	if (row->set(o, value, e))
		return err_wrap(e, "--%s", row->name);
	return 0;
}

static int read_flags(struct options *o, int argc, char **argv, struct err *e)
{
	for (int i = 1; i < argc; i++)
		if (read_flag(o, argv, &i, e))
			return -1;
	return 0;
}

/* Is the variable on, off, or without a word? */
static int switch_of(const char *variable, bool *out, struct err *e)
{
	const char *text = getenv(variable);
	if (!text || !*text)
		return 1;
	*out = !strcmp(text, "1") || !strcmp(text, "true");
	if (*out || !strcmp(text, "0") || !strcmp(text, "false"))
		return 0;
	return err_set(e, ERR_USAGE, "%s is '%s', neither true nor false",
		       variable, text);
}

/* Docker Model Runner's: its port alone does not make it speak TLS. */
static int read_tls_environment(struct options *o, struct err *e)
{
	const char *port = getenv("MODEL_RUNNER_TLS_PORT");
	bool is_on = false;
	int r = switch_of("MODEL_RUNNER_TLS_ENABLED", &is_on, e);
	if (r < 0 ||
	    switch_of("MODEL_RUNNER_TLS_AUTO_CERT", &o->tls_auto, e) < 0)
		return -1;
	if (r == 0 && !is_on)
		o->tls_port = OPTIONS_PORT_OFF;
	if (!is_on)
		return 0;
	o->tls_port = DEFAULT_TLS_PORT;
	if (port && *port && read_port(port, &o->tls_port, e))
		return err_wrap(e, "MODEL_RUNNER_TLS_PORT");
	return 0;
}

static int read_environment(struct options *o, struct err *e)
{
	const char *off = getenv("DISABLE_METRICS");
	if (off && (strcmp(off, "1") == 0 || strcmp(off, "true") == 0))
		o->metrics = false;
	if (read_tls_environment(o, e))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *value = rows[i].env ? getenv(rows[i].env) : NULL;
		if (value && value[0] && rows[i].set(o, value, e))
			return err_wrap(e, "%s", rows[i].env);
	}
	return 0;
}

/* A member's value as the text that a flag would have: of a switch the word, of
 * anything else a string or a number. NULL if it can be none. */
static char *value_text(const struct option_row *row, const json_t *value)
{
	bool is_switch = strcmp(row->arg, "on|off") == 0;
	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	if (json_is_boolean(value) && is_switch)
		return xstrdup(json_is_true(value) ? "on" : "off");
	return json_is_number(value) ? json_text(value) : NULL;
}

static int read_member(struct options *o, const char *key, json_t *value,
		       struct err *e)
{
	auto_free char *name = xstrdup(key);
	for (char *p = name; *p; p++)
		if (*p == '_')
			*p = '-';
	const struct option_row *row = find(str_of(name));
	if (strcmp(key, "engines") == 0) {
		if (!json_is_object(value))
			return err_set(e, ERR_USAGE,
				       "'engines' must be an object");
		json_decref(o->engines);
		o->engines = json_incref(value);
		return 0;
	}
	if (!row || !row->in_file)
		return err_set(e, ERR_USAGE, "there is no setting '%s'", key);
	auto_free char *text = value_text(row, value);
	if (!text)
		return err_set(e, ERR_USAGE, "'%s' must be a string: %s", key,
			       row->arg);
	if (row->set(o, text, e))
		return err_wrap(e, "'%s'", key);
	return 0;
}

static int parse_file(struct options *o, struct str text, struct err *e)
{
	auto_json *file = NULL;
	const char *key;
	json_t *value;
	if (json_parse(text, &file, e))
		return -1;
	if (!json_is_object(file))
		return err_set(e, ERR_USAGE, "it must be a JSON object");
	json_object_foreach(file, key,
			    value) if (read_member(o, key, value, e)) return -1;
	return 0;
}

static int read_file(struct options *o, bool must_exist, struct err *e)
{
	auto_close int fd = open(o->config, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf text;
	buf_init(&text, LIMIT_CONFIG_FILE_BYTES);
	if (fd < 0 && errno == ENOENT && !must_exist)
		return 0;
	if (fd < 0)
		return err_sys(e, "read %s", o->config);
	o->has_file = true;
	int got = buf_read(&text, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_USAGE, "%s is larger than %u bytes",
			       o->config, LIMIT_CONFIG_FILE_BYTES);
	if (got)
		return err_sys(e, "read %s", o->config);
	if (parse_file(o, buf_str(&text), e)) {
		e->code = ERR_USAGE;
		return err_wrap(e, "%s", o->config);
	}
	return 0;
}

/* Beside modeld in a build folder, in libexec where it is installed. */
static char *default_llama(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		return xstrdup("modeld-llama");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	auto_free char *beside = xasprintf("%s/modeld-llama", self);
	if (access(beside, X_OK) == 0)
		return steal(&beside);
	return xasprintf("%s/../libexec/modeld/modeld-llama", self);
}

static int check_together(const struct options *o, struct err *e)
{
	if (options_is_loopback(o->bind) || options_has_keys(o))
		return 0;
	return err_set(e, ERR_USAGE,
		       "--bind %s lets other machines in, and needs API keys: "
		       "make one with 'docker model key add NAME', and name "
		       "its file with --keys FILE",
		       o->bind);
}

int options_read(struct options *o, int argc, char **argv, struct err *e)
{
	*o = (struct options){ .port = 12434,
			       .tls_port = OPTIONS_PORT_OFF,
			       .tls_auto = true,
			       .bind = xstrdup("localhost"),
			       .socket = paths_socket(),
			       .store = paths_store(),
			       .containers = ACCESS_MODE_INFERENCE,
			       .helper = xstrdup(HELPER_PATH),
			       .llama = default_llama(),
			       .keep_alive_ms = 300000,
			       .metrics = true,
			       .record = true,
			       .log_level = LOG_INFO,
			       .ready_fd = -1,
			       .config = paths_config() };
	bool names_file = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			help();
			return OPTIONS_DONE;
		}
		if (strcmp(argv[i], "--version") == 0) {
			printf("modeld %s\n", MODELD_VERSION);
			return OPTIONS_DONE;
		}
		names_file |= strncmp(argv[i], "--config", 8) == 0;
	}
	/* Flags twice: they name the file, and they win over it. */
	if (read_flags(o, argc, argv, e) || read_file(o, names_file, e) ||
	    read_environment(o, e) || read_flags(o, argc, argv, e))
		return -1;
	return check_together(o, e);
}

bool options_has_keys(const struct options *o)
{
	return o->keys && strcmp(o->keys, "off") != 0;
}

void options_fini(struct options *o)
{
	free(o->bind);
	free(o->keys);
	free(o->names);
	free(o->tls_cert);
	free(o->tls_key);
	free(o->socket);
	free(o->store);
	free(o->llama);
	free(o->helper);
	free(o->origins);
	free(o->registry);
	free(o->insecure);
	free(o->mirrors);
	free(o->config);
	json_decref(o->engines);
	*o = (struct options){ .ready_fd = -1 };
}
