#include "cli/where.h"
#include "base/paths.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_VARIABLE "MODEL_RUNNER_HOST"

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static int set(struct where *w, enum where_kind kind, const char *text,
	       struct err *e)
{
	w->kind = kind;
	snprintf(w->text, sizeof w->text, "%s", text);
	return url_parse_base(text, &w->base, e);
}

static int set_socket(struct where *w, const char *path, struct err *e)
{
	auto_free char *text = xasprintf("unix:%s", path);
	return set(w, WHERE_SOCKET, text, e);
}

/* Does somebody listen there? */
static bool accepts(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || strlen(path) >= sizeof to.sun_path)
		return false;
	memcpy(to.sun_path, path, strlen(path));
	return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0;
}

/* A socket that is there and not for us is worth telling. */
static void note_denied(struct where *w, const char *path)
{
	if (access(path, W_OK) < 0 && errno == EACCES)
		snprintf(w->denied, sizeof w->denied, "%s", path);
}

static int wants_tls(bool *out, struct err *e)
{
	const char *text = variable("MODEL_RUNNER_TLS");
	*out = text && (!strcmp(text, "true") || !strcmp(text, "1"));
	if (!text || *out || !strcmp(text, "false") || !strcmp(text, "0"))
		return 0;
	return err_set(e, ERR_USAGE,
		       "MODEL_RUNNER_TLS is '%s', neither true nor false",
		       text);
}

/* Who asks for TLS must not be served without. */
static int set_tls_host(struct where *w, const char *host, struct err *e)
{
	bool has_scheme = strstr(host, "://") || !strncmp(host, "unix:", 5);
	auto_free char *url =
		xasprintf("%s%s", has_scheme ? "" : "https://", host);
	if (set(w, WHERE_HOST, url, e))
		return -1;
	if (w->base.is_tls)
		return 0;
	return err_set(
		e, ERR_USAGE,
		"'%s' is no https address, and MODEL_RUNNER_TLS asks for "
		"TLS",
		host);
}

int where_find(struct where *out, struct err *e)
{
	const char *host = variable(HOST_VARIABLE);
	auto_free char *own = paths_socket();
	bool is_named = variable("MODEL_RUNNER_SOCK") != NULL;
	const char *const sockets[] = { own, PATHS_SYSTEM_SOCKET };
	bool tls;
	*out = (struct where){ 0 };
	if (wants_tls(&tls, e))
		return -1;
	if (host)
		return (tls ? set_tls_host(out, host, e)
			    : set(out, WHERE_HOST, host, e))
			       ? err_wrap(e, HOST_VARIABLE)
			       : 0;
	if (tls)
		return set(out, WHERE_PORT, WHERE_TLS_URL, e);
	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		note_denied(out, sockets[i]);
		/* Who names a socket means that one, though nobody listens. */
		if ((i == 0 && is_named) || accepts(sockets[i]))
			return set_socket(out, sockets[i], e);
	}
	return set(out, WHERE_PORT, WHERE_PORT_URL, e);
}

int where_parse(const char *url, struct where *out, struct err *e)
{
	*out = (struct where){ 0 };
	return set(out, WHERE_URL, url, e);
}

const char *where_engine(const struct where *w)
{
	return w->kind == WHERE_HOST ? "Docker Engine (Manual Install)"
				     : "Docker Engine";
}

/* "connection refused" is what remains of a longer story. */
static const char *last_part(const char *cause)
{
	const char *colon = strrchr(cause, ':');
	return colon && colon[1] == ' ' ? colon + 2 : cause;
}

int where_distrusted(const struct where *w, const char *cause, struct err *e)
{
	return err_set(
		e, ERR_TLS,
		"%s: %s; MODEL_RUNNER_TLS_CA_CERT names the file of a CA "
		"to trust",
		w->text, last_part(cause));
}

int where_unreachable(const struct where *w, const char *cause, struct err *e)
{
	static const char start[] = "start it with 'systemctl start modeld', "
				    "or by hand with 'modeld'";
	cause = last_part(cause);
	if (w->kind == WHERE_URL)
		return err_set(e, ERR_UNAVAILABLE, "nothing answers at %s: %s",
			       w->text, cause);
	if (w->kind == WHERE_HOST)
		return err_set(e, ERR_UNAVAILABLE,
			       "modeld is not running at %s: %s; start it "
			       "there, or unset " HOST_VARIABLE,
			       w->text, cause);
	if (*w->denied)
		return err_set(e, ERR_FORBIDDEN,
			       "you may not use modeld's socket %s: join its "
			       "group, or run this as root",
			       w->denied);
	return err_set(e, ERR_UNAVAILABLE, "modeld is not running (%s: %s): %s",
		       w->text, cause, start);
}
