/* Settings that last: written to modeld's configuration file, then modeld is
 * told to read it again. What it does then is looked at, since a flag or a
 * variable wins over the file. */
#include "base/paths.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/jsonfile.h"
#include "cli/process.h"
#include "cli/term.h"
#include "cli/waysin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

/* How long modeld may take to read its file again, and how often is looked. */
#define EFFECT_MS 5000
#define LOOK_MS 20

/* A setting: its flag here, its member in the file (and flag of modeld). */
static const struct setting {
	const char *flag, *member, *variable;
} settings[] = {
	{ "tcp", "port", "MODEL_RUNNER_PORT" },
	{ "containers", "containers", NULL },
};

struct daemon_now {
	struct call *call;	/* owned; NULL: it does not run */
	struct process process; /* pid 0: not found */
	char *config;		/* owned; its configuration file */
};

static void daemon_now_fini(struct daemon_now *d)
{
	call_free(d->call);
	free(d->config);
}

static int ask(const struct daemon_now *d, json_t **version, struct err *e)
{
	return call_json(d->call, "GET", "/version", STR(""), version, e);
}

static int find_daemon(struct daemon_now *d, struct err *e)
{
	auto_json *version = NULL;
	struct str config = STR("");
	struct err unused;
	if (call_open(&d->call, e))
		return -1;
	const struct where *w = call_where(d->call);
	const char *path = w->base.address + strlen("unix:");
	if (w->kind == WHERE_HOST)
		return err_set(e, ERR_INVALID,
			       "MODEL_RUNNER_HOST names a server elsewhere; "
			       "unset it to change this machine's modeld");
	if (w->kind == WHERE_SOCKET &&
	    process_behind(path, &d->process, &unused))
		d->process.pid = 0;
	if (ask(d, &version, &unused)) {
		call_free(steal(&d->call));
		d->process.pid = 0;
	} else if (json_get_str(version, "config", &config, e)) {
		return -1;
	}
	d->config = config.n ? str_dup(config) : paths_config();
	return 0;
}

static int check(const struct setting *s, const char *value, struct err *e)
{
	uint64_t port;
	if (!strcmp(value, "off"))
		return 0;
	if (!strcmp(s->flag, "tcp"))
		return str_to_u64(str_of(value), &port) && port && port <= 65535
			       ? 0
			       : err_set(e, ERR_USAGE,
					 "--tcp: '%s' is not a port: 1 to "
					 "65535, or off",
					 value);
	return !strcmp(value, "inference") || !strcmp(value, "full")
		       ? 0
		       : err_set(e, ERR_USAGE,
				 "--%s: '%s' is none of off, inference and "
				 "full",
				 s->flag, value);
}

static json_t *value_of(const char *text)
{
	uint64_t number;
	return str_to_u64(str_of(text), &number)
		       ? json_integer((json_int_t)number)
		       : json_string(text);
}

static int write_file(const struct cmd_line *in, const char *path,
		      struct err *e)
{
	auto_json *file = NULL;
	if (jsonfile_read(path, &file, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const char *text = cmd_text(in, settings[i].flag);
		if (text)
			json_object_set_new(file, settings[i].member,
					    value_of(text));
	}
	if (jsonfile_write(path, file, e) == 0)
		return 0;
	return e->code == ERR_FORBIDDEN
		       ? err_set(e, ERR_FORBIDDEN,
				 "you may not change %s; run this with sudo",
				 path)
		       : -1;
}

/* Does it listen on loopback as `text`, a port or "off", says? */
static bool has_port(const json_t *version, const char *text)
{
	auto_free char *end = xasprintf(":%s", text);
	bool is_off = !strcmp(text, "off"), is_there = false;
	size_t i;
	json_t *url;
	json_array_foreach(json_object_get(version, "listen"), i, url)
	{
		struct str s = str_of(json_string_value(url));
		/* Not https: the port of TLS is another setting. */
		if (s.p && str_starts(s, "http://") && waysin_is_on_host(s.p))
			is_there |= is_off || str_ends(s, end);
	}
	return is_off ? !is_there : is_there;
}

/* What a flag or a variable of modeld's own says instead. */
static int check_not_pinned(const struct cmd_line *in,
			    const struct daemon_now *d, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		if (!cmd_text(in, s->flag))
			continue;
		if (process_has_flag(d->process.pid, s->member))
			return err_set(e, ERR_CONFLICT,
				       "saved in %s, but the modeld that runs "
				       "was started with --%s, which wins; "
				       "start it without",
				       d->config, s->member);
		if (s->variable &&
		    process_has_variable(d->process.pid, s->variable))
			return err_set(e, ERR_CONFLICT,
				       "saved in %s, but the modeld that runs "
				       "has %s in its environment, which wins; "
				       "start it without",
				       d->config, s->variable);
	}
	return 0;
}

static bool follows(const struct cmd_line *in, const json_t *version)
{
	const char *port = cmd_text(in, "tcp");
	const char *want = cmd_text(in, "containers");
	const char *now =
		json_string_value(json_object_get(version, "containers"));
	return (!port || has_port(version, port)) &&
	       (!want || (now && !strcmp(now, want)));
}

/* Waits until modeld does as it was told. */
static int await_effect(const struct cmd_line *in, const struct daemon_now *d,
			struct err *e)
{
	for (int ms = 0; ms < EFFECT_MS; ms += LOOK_MS) {
		auto_json *version = NULL;
		if (ask(d, &version, e))
			return -1;
		if (follows(in, version))
			return 0;
		poll(NULL, 0, LOOK_MS);
	}
	return err_set(e, ERR_CONFLICT,
		       "saved in %s, but modeld did not follow; 'docker model "
		       "logs' says why",
		       d->config);
}

static int take_effect(const struct cmd_line *in, const struct daemon_now *d,
		       struct err *e)
{
	if (!d->call) {
		term_printf("modeld does not run; it will do so when it "
			    "starts\n");
		return 0;
	}
	if (!d->process.pid)
		return err_set(e, ERR_UNAVAILABLE,
			       "saved in %s, but the process of modeld was not "
			       "found; send it SIGHUP or start it again",
			       d->config);
	if (check_not_pinned(in, d, e))
		return -1;
	if (kill(d->process.pid, SIGHUP) < 0)
		return errno == EPERM
			       ? err_set(e, ERR_FORBIDDEN,
					 "saved in %s, but modeld is another "
					 "user's; run this with sudo",
					 d->config)
			       : err_sys(e, "tell modeld");
	if (await_effect(in, d, e))
		return -1;
	term_printf("modeld does so now\n");
	return 0;
}

int cmd_enable(const struct cmd_line *in, struct err *e)
{
	__attribute__((cleanup(daemon_now_fini))) struct daemon_now d = { 0 };
	bool is_any = false;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const char *text = cmd_text(in, settings[i].flag);
		is_any |= text != NULL;
		if (text && check(&settings[i], text, e))
			return -1;
	}
	if (!is_any)
		return err_set(e, ERR_USAGE,
			       "what? --tcp PORT, for example; see 'docker "
			       "model enable --help'");
	if (find_daemon(&d, e) || write_file(in, d.config, e))
		return -1;
	term_printf("saved in %s\n", d.config);
	return take_effect(in, &d, e);
}
