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

static int no_tls(const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "%s: https is not supported yet in this version; give "
		       "an http:// or unix:/ address",
		       what);
}

static int set(struct where *w, enum where_kind kind, const char *text,
	       struct err *e)
{
	w->kind = kind;
	snprintf(w->text, sizeof w->text, "%s", text);
	if (url_parse_base(text, &w->base, e))
		return -1;
	if (w->base.is_tls)
		return no_tls(text, e);
	return 0;
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

int where_find(struct where *out, struct err *e)
{
	const char *host = variable(HOST_VARIABLE);
	auto_free char *own = paths_socket();
	bool is_named = variable("MODEL_RUNNER_SOCK") != NULL;
	const char *const sockets[] = { own, PATHS_SYSTEM_SOCKET };
	const char *tls = variable("MODEL_RUNNER_TLS");
	*out = (struct where){ 0 };
	/* Who asks for it must not be served without. */
	if (tls && (!strcmp(tls, "true") || !strcmp(tls, "1")))
		return no_tls("MODEL_RUNNER_TLS", e);
	if (host)
		return set(out, WHERE_HOST, host, e)
			       ? err_wrap(e, HOST_VARIABLE)
			       : 0;
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

int where_unreachable(const struct where *w, const char *cause, struct err *e)
{
	/* "connection refused" is what remains of a longer story. */
	const char *colon = strrchr(cause, ':');
	static const char start[] = "start it with 'systemctl start modeld', "
				    "or by hand with 'modeld'";
	cause = colon && colon[1] == ' ' ? colon + 2 : cause;
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
