#include "docker/session.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "docker/containers.h"
#include "docker/setup.h"
#include "io/fdlink.h"
#include "io/timer.h"
#include "io/unixpath.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define BACKLOG 16
/* A refused peer is logged so often at most. */
#define REFUSAL_LOG_MS 60000

struct session {
	struct uv_loop_s *loop;
	const struct setup *setup;
	const struct session_fns *fns;
	void *ctx;
	int fd; /* owned; where modeld connects */
	uv_poll_t poll;
	ino_t ino;	     /* of the socket's file */
	struct fdlink *link; /* owned; modeld, or NULL */
	bool is_hello;	     /* it said so */
	struct timer hello;
	uint64_t refused_ms; /* when it was last logged; 0: never */
};

/* ---- one modeld ---- */

static void drop(struct session *s)
{
	bool was_hello = s->is_hello;
	fdlink_free(steal(&s->link));
	timer_stop(&s->hello);
	s->is_hello = false;
	if (was_hello)
		s->fns->on_end(s->ctx);
}

static void on_end(void *ctx, const struct err *e)
{
	struct session *s = ctx;
	log_info("modeld is gone reason=\"%s\"", e->msg);
	drop(s);
}

void session_close(struct session *s, const char *why)
{
	if (!s->link)
		return;
	log_info("modeld gets its listeners anew reason=\"%s\"", why);
	drop(s);
}

static void on_no_hello(void *ctx)
{
	session_close(ctx, "it said no hello");
}

static void send_json(struct session *s, json_t *j, int fd)
{
	auto_free char *text = json_text(j);
	json_decref(j);
	fdlink_send_fd(s->link, str_of(text), fd);
}

/* "1.2.3.4:80" or "[::1]:80". */
static bool read_address(struct str text, struct sockaddr_storage *out)
{
	ptrdiff_t colon = str_find_last(text, ':');
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
	if (colon < 0 ||
	    !str_to_u64(str_tail(text, (size_t)colon + 1), &port) ||
	    port > 65535)
		return false;
	struct str ip = str_head(text, (size_t)colon);
	bool is_ipv6 = str_starts(ip, "[") && str_ends(ip, "]");
	if (is_ipv6)
		ip = (struct str){ ip.p + 1, ip.n - 2 };
	if (ip.n >= sizeof host)
		return false;
	memcpy(host, ip.p, ip.n);
	host[ip.n] = '\0';
	*out = (struct sockaddr_storage){ 0 };
	return is_ipv6 ? uv_ip6_addr(host, (int)port, (void *)out) == 0
		       : uv_ip4_addr(host, (int)port, (void *)out) == 0;
}

static int take_hello(struct session *s, const json_t *j, struct err *e)
{
	int64_t port = -1;
	if (json_get_int(j, "port", 0, 65535, &port, e))
		return -1;
	if (port < 0 || s->is_hello)
		return err_set(e, ERR_INVALID, "hello comes once, with a port");
	s->is_hello = true;
	timer_stop(&s->hello);
	s->fns->on_hello(s->ctx, (int)port);
	return 0;
}

static int take_who(struct session *s, const json_t *j, struct err *e)
{
	struct str peer = { "", 0 }, local = { "", 0 };
	struct sockaddr_storage a, b;
	int64_t id = -1;
	if (json_get_int(j, "id", 0, INT64_MAX, &id, e) ||
	    json_get_str(j, "peer", &peer, e) ||
	    json_get_str(j, "local", &local, e))
		return -1;
	if (!s->is_hello || id < 0 || !read_address(peer, &a) ||
	    !read_address(local, &b))
		return err_set(e, ERR_INVALID,
			       "who needs an id, a peer and a local address");
	s->fns->on_who(s->ctx, (uint64_t)id, (struct sockaddr *)&a,
		       (struct sockaddr *)&b);
	return 0;
}

static int take(struct session *s, const json_t *j, struct err *e)
{
	struct str type = { "", 0 };
	if (!json_is_object(j) || json_get_str(j, "type", &type, e) || !type.n)
		return err_set(e, ERR_INVALID, "not a message");
	if (str_eq(type, "hello"))
		return take_hello(s, j, e);
	if (str_eq(type, "who"))
		return take_who(s, j, e);
	return 0; /* of a newer modeld */
}

static void on_line(void *ctx, struct str line)
{
	struct session *s = ctx;
	struct err e;
	auto_json *j = NULL;
	if (json_parse(line, &j, &e) == 0 && take(s, j, &e) == 0)
		return;
	session_close(s, e.msg);
}

void session_give(struct session *s, const char *way, const char *address,
		  int fd)
{
	auto_close int owned = fd;
	if (!s->is_hello)
		return;
	send_json(s,
		  json_pack("{ss ss ss}", "type", "listen", "way", way,
			    "address", address),
		  steal_fd(&owned));
	log_info("modeld listens way=%s address=%s", way, address);
}

void session_tell_bridges(struct session *s, const char *const *names, size_t n)
{
	json_t *list = json_array();
	/* Each takes its length, quotes and a comma; the rest of the line is
	 * far shorter than 64. */
	size_t room = LIMIT_HELPER_LINE_BYTES - 64;
	if (!s->is_hello) {
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		size_t need = strlen(names[i]) + 3;
		if (need > room || i == LIMIT_HELPER_BRIDGES) {
			log_warn("some networks do not reach modeld at the "
				 "gateway: there are too many count=%zu",
				 n);
			break;
		}
		room -= need;
		json_array_append_new(list, json_string(names[i]));
	}
	send_json(s, json_pack("{ss so}", "type", "bridges", "names", list),
		  -1);
}

void session_answer(struct session *s, uint64_t id, const char *address,
		    const struct container *c)
{
	if (!s->is_hello)
		return;
	json_t *j = json_pack("{ss sI}", "type", "who", "id", (json_int_t)id);
	if (address)
		json_object_set_new(j, "address", json_string(address));
	if (c) {
		json_object_set_new(j, "container", json_string(c->id));
		json_object_set_new(j, "name", json_string(c->name));
	}
	send_json(s, j, -1);
}

/* ---- the socket ---- */

/* Looked up each time: the account may be made after us. */
static bool is_served(const struct setup *setup, uid_t uid)
{
	uint64_t number;
	if (uid == 0)
		return true;
	if (str_to_u64(str_of(setup->user), &number))
		return number == uid;
	const struct passwd *p = getpwnam(setup->user);
	return p && p->pw_uid == uid;
}

static void refuse(int fd, const char *reason)
{
	auto_free char *line =
		xasprintf("{\"type\":\"refused\",\"reason\":\"%s\"}\n", reason);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("a peer left before it was refused");
}

/* Everybody on this host may connect, and must not fill the log. */
static void note_refusal(struct session *s, const struct ucred *who)
{
	uint64_t now = timer_now_ms(s->loop);
	if (s->refused_ms && now - s->refused_ms < REFUSAL_LOG_MS)
		return;
	s->refused_ms = now;
	log_warn("a peer of the helper socket is refused uid=%u pid=%d",
		 who->uid, who->pid);
}

static void admit(struct session *s, int fd)
{
	static const struct fdlink_fns fns = { on_line, on_end };
	auto_close int peer = fd;
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t n = sizeof who;
	struct err e;
	if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 ||
	    !is_served(s->setup, who.uid)) {
		note_refusal(s, &who);
		refuse(peer, "only modeld's account is served here");
		return;
	}
	if (s->link) {
		refuse(peer, "another modeld is served");
		return;
	}
	if (fdlink_open(s->loop, steal_fd(&peer), &fns, s, &s->link, &e)) {
		log_warn("modeld is not served: %s", e.msg);
		return;
	}
	timer_start(&s->hello, LIMIT_SESSION_HELLO_MS);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct session *s = container_of(poll, struct session, poll);
	(void)status;
	(void)events;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		admit(s, fd);
}

static int open_path(struct session *s, const char *path, struct err *e)
{
	struct stat st;
	if (unixpath_bind(path, 0666, &s->fd, e))
		return -1;
	if (stat(path, &st) < 0 || listen(s->fd, BACKLOG) < 0)
		return err_sys(e, "prepare the socket %s", path);
	s->ino = st.st_ino;
	return 0;
}

int session_new(struct uv_loop_s *loop, const struct setup *setup,
		const struct session_fns *fns, void *ctx, struct session **out,
		struct err *e)
{
	struct session *s = xcalloc(1, sizeof *s);
	s->loop = loop;
	s->setup = setup;
	s->fns = fns;
	s->ctx = ctx;
	s->fd = -1;
	if (open_path(s, setup->helper, e)) {
		base_closep(&s->fd);
		free(s);
		return -1;
	}
	timer_init(&s->hello, loop, on_no_hello, s);
	int r = uv_poll_init(loop, &s->poll, s->fd);
	assert(r == 0);
	uv_poll_start(&s->poll, UV_READABLE, on_connection);
	*out = s;
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	struct session *s = container_of((uv_poll_t *)h, struct session, poll);
	close(s->fd);
	free(s);
}

void session_free(struct session *s)
{
	struct stat st;
	if (!s)
		return;
	fdlink_free(steal(&s->link));
	timer_fini(&s->hello);
	if (lstat(s->setup->helper, &st) == 0 && st.st_ino == s->ino)
		unlink(s->setup->helper);
	uv_close((uv_handle_t *)&s->poll, on_closed);
}
