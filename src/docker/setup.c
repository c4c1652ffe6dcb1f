#include "docker/setup.h"
#include "base/buf.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RUN_DIR "/run/modeld-docker"

/* ROW(flag, argument, member, default, help); those that are text. */
#define ROW(name, arg, member, value, help)                            \
	{                                                              \
		name, arg, offsetof(struct setup, member), value, help \
	}

static const struct row {
	const char *name, *arg;
	size_t member;
	const char *value; /* or NULL */
	const char *help;
} rows[] = {
	/* clang-format off */
	ROW("address", "IP", address, "169.254.255.81",
	    "address of modeld for containers"),
	ROW("address6", "IP|off", address6, "fd6d:6f64:656c::80",
	    "the same for containers that have only IPv6"),
	ROW("netns", "NAME", netns, "modeld", "network namespace it lives in"),
	ROW("device", "NAME", device, "modeld0", "the host's end of its veth"),
	ROW("name", "NAME", name, "model-runner.docker.internal",
	    "the name that containers use"),
	ROW("hosts", "FILE|off", hosts, "/etc/hosts",
	    "the host's own hosts file, which gets the name too"),
	ROW("docker", "PATH", docker, "/run/docker.sock",
	    "the Docker socket's name"),
	ROW("engine", "PATH", engine, "/run/docker-engine.sock",
	    "the Engine's socket while we have its name"),
	ROW("listen", "PATH", listen, RUN_DIR "/docker.sock",
	    "the front's own socket"),
	ROW("modeld", "PATH", modeld, "/run/modeld/modeld.sock",
	    "modeld's socket"),
	ROW("helper", "PATH", helper, RUN_DIR "/helper.sock",
	    "socket where modeld gets its listeners from"),
	ROW("user", "NAME", user, "modeld", "the account that runs modeld"),
	ROW("take", "on|off", take, "on",
	    "whether 'run' takes the Docker socket's name"),
	ROW("root", "DIR", root, NULL,
	    "Docker's data folder (what the Engine says)"),
	ROW("dns-address", "IP:PORT", dns_address, "169.254.255.81:53",
	    "where DNS is answered"),
	ROW("upstream", "IP[:PORT]", upstream, NULL,
	    "DNS server for all other names (of /etc/resolv.conf)"),
	ROW("config", "FILE", config, "/etc/modeld/docker.json",
	    "configuration file, JSON"),
	/* clang-format on */
};

static char **slot(struct setup *s, const struct row *r)
{
	return (char **)(void *)((char *)s + r->member);
}

static bool lists(const char *words, struct str word)
{
	struct str rest = str_of(words), piece;
	while (str_split(&rest, ' ', &piece))
		if (piece.n == word.n && !memcmp(piece.p, word.p, word.n))
			return true;
	return false;
}

static const struct row *find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(name, rows[i].name))
			return &rows[i];
	return NULL;
}

static void help(const struct setup_command *c)
{
	printf("Usage: modeld-docker %s%s%s [OPTIONS]\n\n%s\n\nOptions:\n",
	       c->name, c->actions ? " " : "", c->actions ? c->actions : "",
	       c->help);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char left[48];
		if (!lists(c->flags, str_of(rows[i].name)) &&
		    strcmp(rows[i].name, "config") != 0)
			continue;
		snprintf(left, sizeof left, "--%s %s", rows[i].name,
			 rows[i].arg);
		printf("  %-22s %s\n", left, rows[i].help);
		if (rows[i].value)
			printf("  %-22s [%s]\n", "", rows[i].value);
	}
	printf("  %-22s %s\n  %-22s %s\n  %-22s %s\n", "--log-level LEVEL",
	       "error, warn, info or debug [info]", "--ready-fd N",
	       "write a newline there once it is ready", "--help", "show this");
}

static int set(struct setup *s, const char *name, const char *value,
	       struct err *e)
{
	const struct row *r = find(str_of(name));
	uint64_t fd;
	if (r) {
		if (!value[0])
			return err_set(e, ERR_USAGE, "--%s: it is empty", name);
		if (!strcmp(r->arg, "on|off") && strcmp(value, "on") &&
		    strcmp(value, "off"))
			return err_set(e, ERR_USAGE,
				       "--%s: '%s' is neither on nor off", name,
				       value);
		free(*slot(s, r));
		*slot(s, r) = xstrdup(value);
		return 0;
	}
	if (strcmp(name, "log-level") == 0) {
		if (log_level_parse(value, &s->log_level))
			return 0;
		return err_set(e, ERR_USAGE,
			       "'%s' is not a log level: error, warn, info or "
			       "debug",
			       value);
	}
	if (!str_to_u64(str_of(value), &fd) || fd > 65535)
		return err_set(e, ERR_USAGE, "'%s' is not a file descriptor",
			       value);
	s->ready_fd = (int)fd;
	return 0;
}

static int read_flag(struct setup *s, const struct setup_command *c,
		     char **argv, int *i, struct err *e)
{
	struct str text = str_of(argv[*i]);
	if (!str_starts(text, "--")) {
		auto_free char *actions = xstrdup(c->actions ? c->actions : "");
		for (char *p = actions; *p; p++)
			*p = strchr("|[]", *p) ? ' ' : *p;
		if (s->action || !text.n || !lists(actions, text))
			return err_set(e, ERR_USAGE,
				       "'%s' is not expected here; see "
				       "modeld-docker %s --help",
				       argv[*i], c->name);
		s->action = argv[*i];
		return 0;
	}
	text = str_tail(text, 2);
	ptrdiff_t eq = str_find(text, '=');
	struct str flag = eq < 0 ? text : str_head(text, (size_t)eq);
	if (!lists(c->flags, flag) && !lists("config log-level ready-fd", flag))
		return err_set(e, ERR_USAGE,
			       "there is no option '%s' here; see "
			       "modeld-docker %s --help",
			       argv[*i], c->name);
	const char *value = eq < 0 ? argv[++*i] : text.p + eq + 1;
	auto_free char *name = str_dup(flag);
	if (!value)
		return err_set(e, ERR_USAGE, "--%s needs a value", name);
	return set(s, name, value, e);
}

static int read_flags(struct setup *s, const struct setup_command *c, int argc,
		      char **argv, struct err *e)
{
	s->action = NULL;
	for (int i = 2; i < argc; i++)
		if (read_flag(s, c, argv, &i, e))
			return -1;
	if (c->actions && c->actions[0] != '[' && !s->action)
		return err_set(e, ERR_USAGE, "modeld-docker %s %s: which?",
			       c->name, c->actions);
	return 0;
}

static int read_member(struct setup *s, const char *key, json_t *value,
		       struct err *e)
{
	auto_free char *name = xstrdup(key);
	for (char *p = name; *p; p++)
		if (*p == '_')
			*p = '-';
	if (strcmp(key, "internal") == 0 && json_is_array(value)) {
		s->internal = value;
		return 0;
	}
	/* 'docker model connect' knows its own file by it. */
	if (strcmp(key, "made_by") == 0)
		return 0;
	if (strcmp(key, "log_level") && !find(str_of(name)))
		return err_set(e, ERR_USAGE, "there is no setting '%s'", key);
	if (!json_is_string(value))
		return err_set(e, ERR_USAGE, "'%s' must be a string", key);
	return set(s, name, json_string_value(value), e);
}

static int read_file(struct setup *s, struct err *e)
{
	auto_close int fd = open(s->config, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf text;
	const char *key;
	json_t *value;
	buf_init(&text, LIMIT_CONFIG_FILE_BYTES);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "read %s", s->config);
	int got = buf_read(&text, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_USAGE, "%s is too large", s->config);
	if (got)
		return err_sys(e, "read %s", s->config);
	if (json_parse(buf_str(&text), &s->file, e))
		return err_wrap(e, "%s", s->config);
	if (!json_is_object(s->file))
		return err_set(e, ERR_USAGE, "%s must be a JSON object",
			       s->config);
	json_object_foreach(s->file, key, value)
	{
		if (read_member(s, key, value, e))
			return err_wrap(e, "%s", s->config);
	}
	return 0;
}

int setup_read(struct setup *s, const struct setup_command *c, int argc,
	       char **argv, struct err *e)
{
	*s = (struct setup){ .log_level = LOG_INFO, .ready_fd = -1 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].value)
			*slot(s, &rows[i]) = xstrdup(rows[i].value);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			help(c);
			return SETUP_DONE;
		}
	}
	/* Flags twice: they name the file, and they win over it. */
	if (read_flags(s, c, argc, argv, e) || read_file(s, e) ||
	    read_flags(s, c, argc, argv, e))
		return -1;
	return 0;
}

void setup_fini(struct setup *s)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		free(*slot(s, &rows[i]));
		*slot(s, &rows[i]) = NULL;
	}
	json_decref(s->file);
	s->file = NULL;
}

/* As the file would have them; without its own name. */
static json_t *as_file(const struct setup *s)
{
	json_t *all = json_object();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *const *value =
			(char *const *)(const void *)((const char *)s +
						      rows[i].member);
		auto_free char *key = xstrdup(rows[i].name);
		for (char *p = key; *p; p++)
			*p = *p == '-' ? '_' : *p;
		if (*value && strcmp(key, "config") != 0)
			json_object_set_new(all, key, json_string(*value));
	}
	if (s->internal)
		json_object_set(all, "internal", s->internal);
	return all;
}

int setup_print(const struct setup *s, struct err *e)
{
	auto_json *all = as_file(s);
	auto_free char *text = json_text(all);
	(void)e;
	printf("%s\n", text);
	return 0;
}

int setup_save(const struct setup *s, const char *path, struct err *e)
{
	auto_json *all = as_file(s);
	auto_free char *text = json_text(all);
	auto_free char *fresh = xasprintf("%s.new", path);
	unlink(fresh);
	auto_close int fd = open(
		fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0644);
	size_t n = strlen(text);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n ||
	    rename(fresh, path) < 0)
		return err_sys(e, "write %s", path);
	return 0;
}

const char *setup_engine_socket(const struct setup *s)
{
	return access(s->engine, F_OK) == 0 ? s->engine : s->docker;
}
