#include "modeld/options.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/paths.h"
#include "modeld/options_rows.h"
#include "modeld/options_value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HELPER_PATH "/run/modeld-docker/helper.sock"

#define DEFAULT_TLS_PORT 12444 /* Docker Model Runner's */

bool options_is_loopback(const char *ip)
{
	return !strcmp(ip, "localhost") || !strcmp(ip, "::1") ||
	       !strncmp(ip, "127.", 4);
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
	const struct options_row *row =
		options_rows_find(eq < 0 ? text : str_head(text, (size_t)eq));
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
	if (port && *port && options_value_port(port, &o->tls_port, e))
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
	const struct options_row *row;
	for (size_t i = 0; (row = options_rows_get(i)); i++) {
		const char *value = row->env ? getenv(row->env) : NULL;
		if (value && value[0] && row->set(o, value, e))
			return err_wrap(e, "%s", row->env);
	}
	return 0;
}

/* A member's value as the text that a flag would have: of a switch the word, of
 * anything else a string or a number. NULL if it can be none. */
static char *value_text(const struct options_row *row, const json_t *value)
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
	const struct options_row *row = options_rows_find(str_of(name));
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
			       .sandbox = true,
			       .log_level = LOG_INFO,
			       .ready_fd = -1,
			       .config = paths_config() };
	bool names_file = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			options_rows_help();
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

const char *options_containers(const struct options *o)
{
	return options_value_mode_text(o->containers);
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
	free(o->hf_endpoint);
	free(o->hf_token_file);
	free(o->config);
	json_decref(o->engines);
	*o = (struct options){ .ready_fd = -1 };
}
