#include "cli/waysin.h"
#include "cli/call.h"
#include "cli/connection.h"
#include "cli/term.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define TRY_MS 2000
/* modeld looks for its helper every two seconds, and the helper for it. */
#define AWAIT_MS 15000
#define LOOK_MS 100
#define ANSWER_BYTES 65536
#define NOT_CONNECTED "not connected: docker model connect"

int waysin_try(const char *base, const char *path, struct err *e)
{
	auto_(call) c = NULL;
	auto_buf struct buf text;
	auto_json *answer = NULL;
	const struct call_request r = { .method = "GET",
					.path = path,
					.limit_ms = TRY_MS };
	struct str version = { 0 };
	buf_init(&text, ANSWER_BYTES);
	if (call_open_url(base, &c, e) || call_text(c, &r, &text, e))
		return -1;
	if (json_parse(buf_str(&text), &answer, e) ||
	    json_get_str(answer, "version", &version, e) || !version.p)
		return err_set(e, ERR_NOT_FOUND, "%s: that is not modeld",
			       base);
	return 0;
}

static void put(json_t *list, const char *way, const char *url,
		const char *state)
{
	json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "way", way,
					      "url", url, "state", state));
}

/* Open, shut, or not for us. */
static const char *state_of(const char *base, const char *path)
{
	struct err why;
	if (waysin_try(base, path, &why) == 0)
		return "open";
	return why.code == ERR_FORBIDDEN || why.code == ERR_AUTH
		       ? "open, not for you"
		       : "no answer";
}

static bool is_at(const char *url, const char *address)
{
	const char *at = strstr(url, "://");
	if (!at || !address)
		return false;
	at += strlen("://");
	at += *at == '[';
	size_t n = strlen(address);
	return !strncmp(at, address, n) &&
	       (at[n] == ':' || at[n] == ']' || !at[n]);
}

static bool is_loopback(const char *url)
{
	const char *at = strstr(url, "://");
	return at &&
	       (!strncmp(at, "://127.", 7) || !strncmp(at, "://[::1]", 8));
}

bool waysin_is_on_host(const char *url)
{
	const char *at = strstr(url, "://");
	return is_loopback(url) || (at && (!strncmp(at, "://0.0.0.0:", 11) ||
					   !strncmp(at, "://[::]:", 8)));
}

bool waysin_is_off(const json_t *version)
{
	const char *mode =
		json_string_value(json_object_get(version, "containers"));
	return mode && !strcmp(mode, "off");
}

json_t *waysin_told(const json_t *version)
{
	json_t *list = json_array();
	size_t i;
	json_t *each;
	json_array_foreach(json_object_get(version, "listen"), i, each)
	{
		const char *url = json_string_value(each);
		if (url)
			put(list,
			    !strncmp(url, "unix:", 5) ? "socket"
			    : is_loopback(url)	      ? "host"
						      : "network",
			    url, "listening");
	}
	return list;
}

/* What modeld tells; gives whether containers are among it. */
static bool put_listen(json_t *list, const json_t *listen,
		       const struct connection *c)
{
	bool has_containers = false;
	size_t i;
	json_t *each;
	json_array_foreach(listen, i, each)
	{
		const char *url = json_string_value(each);
		if (!url)
			continue;
		if (!strncmp(url, "unix:", 5)) {
			put(list, "socket", url, state_of(url, "/version"));
		} else if (is_loopback(url)) {
			put(list, "host", url, state_of(url, "/version"));
		} else if (c && (is_at(url, c->address) ||
				 is_at(url, c->address6))) {
			auto_free char *name = xasprintf("http://%s", c->name);
			auto_free char *state = xasprintf(
				"%s, at %s", state_of(url, "/version"), url);
			/* Once, though it has two addresses. */
			if (!has_containers)
				put(list, "containers", name, state);
			has_containers = true;
		} else {
			/* Its own check of who may come by is by interface. */
			put(list, c && c->is_on ? "gateway" : "network", url,
			    "listening");
		}
	}
	return has_containers;
}

static void put_socket(json_t *list, const struct connection *c)
{
	auto_free char *base = xasprintf("unix:%s", c->docker);
	auto_free char *url = xasprintf("unix:%s:" WAYSIN_PREFIX, c->docker);
	const char *state;
	if (access(c->docker, F_OK) < 0)
		state = "no Docker Engine here";
	else if (!c->is_on)
		state = NOT_CONNECTED;
	else if (!c->takes_socket)
		state = "left to Docker (--no-socket)";
	else if (access(c->docker, W_OK) < 0)
		state = "open, not for you";
	else
		state = state_of(base, WAYSIN_PREFIX "/version");
	put(list, "Docker socket", url, state);
}

json_t *waysin_list(const json_t *version, const struct connection *c)
{
	json_t *list = json_array();
	bool has_containers =
		put_listen(list, json_object_get(version, "listen"), c);
	if (!c)
		return list;
	auto_free char *name = xasprintf("http://%s", c->name);
	auto_free char *base = xasprintf("http://%s", c->address);
	/* Who may not be told where modeld listens can still try. */
	if (!has_containers)
		put(list, "containers", name,
		    !c->is_on		     ? NOT_CONNECTED
		    : waysin_is_off(version) ? "off (--containers)"
					     : state_of(base, "/version"));
	put_socket(list, c);
	return list;
}

/* ---- after a connect ---- */

static int await(const char *base, const char *path, const char *what,
		 struct err *e)
{
	struct err why;
	for (int ms = 0;; ms += LOOK_MS) {
		int got = waysin_try(base, path, &why);
		/* A refusal is an answer too. */
		if (got == 0 || why.code == ERR_FORBIDDEN ||
		    why.code == ERR_AUTH)
			return 0;
		if (ms >= AWAIT_MS)
			break;
		poll(NULL, 0, LOOK_MS);
	}
	return err_set(e, ERR_UNAVAILABLE,
		       "%s cannot reach modeld yet (%s): 'sudo docker model "
		       "doctor' says what is wrong",
		       what, why.msg);
}

/* What modeld tells, or NULL. */
static json_t *ask_version(const struct connection *c)
{
	auto_free char *base = xasprintf("unix:%s", c->modeld);
	auto_(call) call = NULL;
	json_t *version = NULL;
	struct err unused;
	if (call_open_url(base, &call, &unused) ||
	    call_json(call, "GET", "/version", STR(""), &version, &unused))
		return NULL;
	return version;
}

static void print_host(const json_t *version)
{
	const char *found = NULL;
	size_t i;
	json_t *url;
	json_array_foreach(json_object_get(version, "listen"), i, url)
	{
		const char *text = json_string_value(url);
		if (!found && text && is_loopback(text))
			found = text;
	}
	if (!version)
		found = WHERE_PORT_URL;
	if (found)
		term_printf("  on this host      %s/v1\n", found);
	else
		term_printf("  on this host      the port is off; docker model "
			    "enable --tcp 12434\n");
}

int waysin_await(const struct connection *c, bool modeld_runs, struct err *e)
{
	auto_free char *net = xasprintf("http://%s", c->address);
	auto_free char *front = xasprintf("unix:%s", c->docker);
	/* systemd has started it by now; else it answers or is not there. */
	auto_json *version = ask_version(c);
	bool is_off = waysin_is_off(version);
	if (modeld_runs && !is_off && await(net, "/version", "containers", e))
		return -1;
	/* Where Docker does not run its socket is taken later. */
	bool has_front = c->takes_socket && access(c->docker, F_OK) == 0;
	if (modeld_runs && has_front &&
	    await(front, WAYSIN_PREFIX "/version", "the Docker socket", e))
		return -1;
	term_printf("\nThe OpenAI API%s:\n",
		    modeld_runs ? " is" : ", when modeld runs");
	if (is_off)
		term_printf("  in containers     off; docker model enable "
			    "--containers inference\n");
	else
		term_printf("  in containers     http://%s/v1\n", c->name);
	print_host(version);
	if (c->takes_socket)
		term_printf("  Docker socket     %s, path " WAYSIN_PREFIX
			    "/v1\n",
			    c->docker);
	return 0;
}
