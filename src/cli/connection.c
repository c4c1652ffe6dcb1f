#include "cli/connection.h"
#include "base/buf.h"
#include "cli/tool.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_MS 10000
#define SETTINGS_BYTES 65536

const char *const connection_units[] = {
	"modeld-net.service",
	"modeld-listen.service",
	"modeld-names.service",
	"modeld-docker.socket",
	"modeld-docker.service",
	"modeld-take.service",
	NULL,
};

static int read_line(const char *path, char *out, size_t n)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, out, n - 1);
	if (got < 0)
		return -1;
	out[got] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

/* Who stands in the pid file, if that is still one of ours. */
static int running_pid(void)
{
	char text[32], path[64], name[32];
	if (read_line(CONNECTION_RUN_DIR "/run.pid", text, sizeof text))
		return 0;
	int pid = (int)strtol(text, NULL, 10);
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	if (pid <= 0 || read_line(path, name, sizeof name) ||
	    strcmp(name, "modeld-docker") != 0)
		return 0;
	return pid;
}

char *connection_unit_state(const char *unit)
{
	auto_buf struct buf out;
	struct err unused;
	buf_init(&out, 4096);
	const char *const argv[] = { "systemctl", "is-active", unit, NULL };
	if (tool_run(argv, LOOK_MS, &out, &unused) < 0)
		return xstrdup("unknown");
	return str_dup(tool_last_line(buf_str(&out)));
}

static bool is_enabled(void)
{
	struct err unused;
	const char *const argv[] = { "systemctl", "is-enabled", "--quiet",
				     CONNECTION_TARGET, NULL };
	return tool_run(argv, LOOK_MS, NULL, &unused) == 0;
}

void connection_look(struct connection *c)
{
	c->has_systemd = access("/run/systemd/system", F_OK) == 0;
	c->pid = running_pid();
	c->is_on = c->pid || (c->has_systemd && is_enabled());
	for (size_t i = 0; c->has_systemd && !c->is_on && connection_units[i];
	     i++) {
		auto_free char *state =
			connection_unit_state(connection_units[i]);
		c->is_on = !strcmp(state, "active");
	}
}

static int read_settings(struct connection *c, struct err *e)
{
	static const struct {
		const char *name;
		size_t member;
	} members[] = {
#define MEMBER(name) { #name, offsetof(struct connection, name) }
		MEMBER(address), MEMBER(address6), MEMBER(name),
		MEMBER(docker),	 MEMBER(engine),   MEMBER(listen),
		MEMBER(modeld),	 MEMBER(netns),	   MEMBER(device),
		MEMBER(hosts),	 MEMBER(user),
#undef MEMBER
	};
	auto_buf struct buf out;
	buf_init(&out, SETTINGS_BYTES);
	const char *const argv[] = { c->program, "settings",
				     c->config ? "--config" : NULL, c->config,
				     NULL };
	int got = tool_run(argv, LOOK_MS, &out, e);
	if (got < 0)
		return -1;
	if (got)
		return err_set(e, ERR_INVALID, "%.*s",
			       STR_ARG(tool_last_line(buf_str(&out))));
	if (json_parse(buf_str(&out), &c->settings, e))
		return err_wrap(e, "the settings of %s", c->program);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const char **slot =
			(const char **)(void *)((char *)c + members[i].member);
		*slot = json_string_value(
			json_object_get(c->settings, members[i].name));
		if (!*slot)
			return err_set(e, ERR_INTERNAL,
				       "%s is of another version than this "
				       "program; install both again",
				       c->program);
	}
	const char *take =
		json_string_value(json_object_get(c->settings, "take"));
	c->takes_socket = !take || strcmp(take, "off") != 0;
	return 0;
}

static int read_all(struct connection *c, const char *config, struct err *e)
{
	*c = (struct connection){ .program = tool_find_own("modeld-docker"),
				  .config = config };
	if (!c->program)
		return CONNECTION_ABSENT;
	if (read_settings(c, e))
		return -1;
	connection_look(c);
	return 0;
}

int connection_read(struct connection *c, struct err *e)
{
	return read_all(c, NULL, e);
}

int connection_read_defaults(struct connection *c, struct err *e)
{
	/* A file that is not there is no error of modeld-docker's. */
	return read_all(c, CONNECTION_RUN_DIR "/no-settings", e);
}

void connection_fini(struct connection *c)
{
	free(c->program);
	json_decref(c->settings);
	*c = (struct connection){ 0 };
}
