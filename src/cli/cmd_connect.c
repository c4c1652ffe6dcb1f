/* The steps are few and each may be done already, so that a second connect, or
 * one after a crash, ends where the first would. Docker is not asked for
 * anything. */
#include "cli/background.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/connection_config.h"
#include "cli/process.h"
#include "cli/term.h"
#include "cli/tool.h"
#include "cli/units.h"
#include "cli/waysin.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG "/var/log/modeld-docker.log"
#define READY_MS 60000

struct connecting {
	const struct cmd_line *in;
	struct connection ways;
	bool is_dry;
	char *modeld;  /* owned; its socket, or NULL: it does not run */
	char user[16]; /* its uid, if modeld runs */
	char *docker;  /* owned; --docker-host, links resolved, or NULL */
	char *engine;  /* owned; beside it, or NULL */
};

static void connecting_fini(struct connecting *c)
{
	connection_fini(&c->ways);
	free(c->modeld);
	free(c->docker);
	free(c->engine);
}

/* "would " of what is only shown. */
static const char *would(const struct connecting *c)
{
	return c->is_dry ? "would be " : "";
}

/* ---- what is asked for ---- */

static int check_address(const char *text, struct err *e)
{
	struct in_addr a;
	if (!text)
		return 0;
	if (inet_pton(AF_INET, text, &a) != 1)
		return err_set(e, ERR_USAGE,
			       "--address: '%s' is not an IPv4 address", text);
	/* The host's end is its pair in the /31. */
	if ((ntohl(a.s_addr) & 1) == 0)
		return err_set(e, ERR_USAGE,
			       "--address: %s must be odd; the address before "
			       "it is the host's end of the cable",
			       text);
	return 0;
}

static bool is_on_path(const char *program)
{
	struct err unused;
	const char *const argv[] = { program, "--version", NULL };
	return tool_run(argv, 10000, NULL, &unused) != TOOL_ABSENT;
}

static int read_docker(struct connecting *c, struct err *e)
{
	const char *path = cmd_text(c->in, "docker-host");
	struct stat st, run;
	if (path && str_starts(str_of(path), "unix://"))
		path += strlen("unix://");
	if (path) {
		c->docker = realpath(path, NULL);
		if (!c->docker)
			return err_sys(e, "--docker-host %s", path);
		c->engine =
			xasprintf("%.*s-engine.sock",
				  (int)(strlen(c->docker) -
					(str_ends(str_of(c->docker), ".sock")
						 ? strlen(".sock")
						 : 0)),
				  c->docker);
	}
	path = c->docker ? c->docker : c->ways.docker;
	if (stat(path, &st) < 0) {
		if (c->docker || !is_on_path("dockerd"))
			return err_set(e, ERR_NOT_FOUND,
				       "there is no Docker Engine here (no %s "
				       "and no dockerd): install it, or name "
				       "its socket with --docker-host",
				       path);
		term_printf("Docker Engine does not run; containers get the "
			    "name when it does\n");
		return 0;
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a socket", path);
	/* The name is taken by a hard link, which needs one file system. */
	if (c->docker && !cmd_is_set(c->in, "no-socket") &&
	    stat("/run", &run) == 0 && run.st_dev != st.st_dev)
		return err_set(e, ERR_INVALID,
			       "%s is on another file system than /run: add "
			       "--no-socket",
			       path);
	return 0;
}

/* ---- modeld ---- */

static bool try_modeld(struct connecting *c, const char *path)
{
	struct process p;
	struct err unused;
	if (!path || !*path || process_behind(path, &p, &unused) != 0)
		return false;
	c->modeld = xstrdup(path);
	snprintf(c->user, sizeof c->user, "%u", p.uid);
	return true;
}

/* That of the unit, the one that is named, or the one of who typed sudo. */
static int find_modeld(struct connecting *c, struct err *e)
{
	const char *named = cmd_text(c->in, "modeld");
	const char *sudo = getenv("SUDO_UID");
	uint64_t uid;
	if (named)
		return try_modeld(c, named)
			       ? 0
			       : err_set(e, ERR_UNAVAILABLE,
					 "--modeld %s: nobody listens there",
					 named);
	if (try_modeld(c, getenv("MODEL_RUNNER_SOCK")) ||
	    try_modeld(c, c->ways.modeld))
		return 0;
	if (!sudo || !str_to_u64(str_of(sudo), &uid) || uid > UINT32_MAX)
		return 0;
	const struct passwd *who = getpwuid((uid_t)uid);
	auto_free char *run =
		xasprintf("/run/user/%s/modeld/modeld.sock", sudo);
	auto_free char *home = xasprintf("%s/.local/state/modeld/modeld.sock",
					 who ? who->pw_dir : "");
	if (!try_modeld(c, run))
		try_modeld(c, home);
	return 0;
}

/* Is that the account which the settings have already? */
static bool is_known_user(const struct connecting *c)
{
	const struct passwd *who = getpwnam(c->ways.user);
	auto_free char *uid =
		xasprintf("%u", who ? (unsigned)who->pw_uid : UINT32_MAX);
	return !strcmp(c->user, c->ways.user) || !strcmp(c->user, uid) ||
	       /* root may always. */
	       !strcmp(c->user, "0");
}

static int start_modeld(struct connecting *c, struct err *e)
{
	if (c->modeld) {
		term_printf("modeld          %s, user %s\n", c->modeld,
			    c->user);
		return 0;
	}
	if (!c->ways.has_systemd) {
		term_printf("modeld          is not running: start it with "
			    "'modeld'; it finds what is\n"
			    "                ready for it by itself\n");
		return 0;
	}
	if (!c->is_dry && units_start_modeld(e))
		return err_wrap(e, "start modeld");
	term_printf("modeld          %sstarted, now and at every boot\n",
		    would(c));
	return 0;
}

/* ---- settings ---- */

/* Sets *is_new. */
static int write_settings(struct connecting *c, bool *is_new, struct err *e)
{
	bool is_other = c->modeld && strcmp(c->modeld, c->ways.modeld) != 0;
	const struct connection_change changes[] = {
		{ "address", cmd_text(c->in, "address") },
		{ "docker", c->docker },
		{ "engine", c->engine },
		{ "take", cmd_is_set(c->in, "no-socket") ? "off" : NULL },
		{ "modeld", is_other ? c->modeld : NULL },
		{ "user", c->modeld && !is_known_user(c) ? c->user : NULL },
	};
	int got = connection_config_set(CONNECTION_CONFIG, changes,
					ARRAY_LEN(changes), c->is_dry, e);
	if (got < 0)
		return -1;
	*is_new = got == 0;
	if (got == CONNECTION_CONFIG_SAME)
		return 0;
	term_printf("settings        %swritten to " CONNECTION_CONFIG "\n",
		    would(c));
	if (c->is_dry)
		return 0;
	connection_fini(&c->ways);
	return connection_read(&c->ways, e) ? -1 : 0;
}

/* ---- modeld-docker ---- */

static int start_units(struct connecting *c, bool is_new, struct err *e)
{
	if (units_check_installed(e))
		return -1;
	if (c->is_dry) {
		term_printf("helper          " CONNECTION_TARGET
			    " would be enabled and started\n");
		return 0;
	}
	bool was_on = c->ways.is_on;
	if (was_on && is_new && units_stop(e))
		return -1;
	if (units_start(c->ways.takes_socket, e))
		return err_wrap(e, "'journalctl -b -u \"modeld-*\"' has more");
	term_printf("helper          " CONNECTION_TARGET " is %s\n",
		    was_on && !is_new ? "enabled and runs (as before)"
				      : "enabled and started");
	return 0;
}

static int start_process(struct connecting *c, bool is_new, struct err *e)
{
	const char *const argv[] = { c->ways.program, "run", NULL };
	if (c->ways.pid && !is_new) {
		term_printf("helper          runs (as before), process %d\n",
			    c->ways.pid);
		return 0;
	}
	if (c->is_dry) {
		term_printf("helper          '%s run' would be started\n",
			    c->ways.program);
		return 0;
	}
	if (c->ways.pid && background_stop(c->ways.pid, READY_MS, e))
		return -1;
	if (background_start(argv, LOG, READY_MS, e))
		return err_wrap(e, "%s run (log: " LOG ")", c->ways.program);
	connection_look(&c->ways);
	term_printf("helper          started, process %d, log " LOG "\n",
		    c->ways.pid);
	return 0;
}

/* ---- the command ---- */

static int prepare(struct connecting *c, struct err *e)
{
	if (check_address(cmd_text(c->in, "address"), e))
		return -1;
	if (!c->is_dry && geteuid() != 0)
		return err_set(e, ERR_FORBIDDEN,
			       "connect must be root: sudo docker model "
			       "connect");
	int got = connection_read(&c->ways, e);
	if (got == CONNECTION_ABSENT)
		return err_set(e, ERR_NOT_FOUND,
			       "modeld-docker is not installed beside this "
			       "program: install modeld's package, or 'sudo "
			       "make install'");
	if (got < 0)
		return -1;
	return read_docker(c, e) || find_modeld(c, e) ? -1 : 0;
}

int cmd_connect(const struct cmd_line *in, struct err *e)
{
	__attribute__((cleanup(connecting_fini))) struct connecting c = {
		.in = in, .is_dry = cmd_is_set(in, "dry-run")
	};
	bool is_new = false;
	if (prepare(&c, e) || write_settings(&c, &is_new, e) ||
	    start_modeld(&c, e))
		return -1;
	int failed = c.ways.has_systemd ? start_units(&c, is_new, e)
					: start_process(&c, is_new, e);
	if (failed)
		return -1;
	if (c.is_dry)
		return 0;
	return waysin_await(&c.ways, c.modeld || c.ways.has_systemd, e);
}
