/* connect.c - from an address in text to an open stream.
 *
 * A name is looked up on libuv's thread pool, and its addresses are tried one
 * after the other. A TCP handle that failed to connect cannot be used again, so
 * each further try is made on a fresh one, which stream_renew() gives. */
#include "io/stream_priv.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

struct connect {
	struct stream *s; /* NULL: gone; the last libuv callback frees us */
	void (*on_open)(void *ctx);
	bool is_busy; /* libuv has `lookup` or `req` */
	bool is_unix;
	int failure; /* of the last try: a libuv error */
	char *address;
	char host[256];
	char port[8];
	struct sockaddr_storage literal; /* AF_UNSPEC: look `host` up */
	struct addrinfo *found;		 /* owned */
	struct addrinfo *next;
	uv_getaddrinfo_t lookup;
	uv_connect_t req;
};

static void destroy(struct connect *c)
{
	uv_freeaddrinfo(c->found);
	free(c->address);
	free(c);
}

void connect_free(struct connect *c)
{
	if (!c)
		return;
	c->s = NULL;
	if (!c->is_busy)
		destroy(c);
}

static int bad_address(const char *address, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "%s is no address; write HOST:PORT or unix:/path",
		       address);
}

static int split(struct connect *c, struct err *e)
{
	struct str text = str_of(c->address);
	ptrdiff_t colon = str_find_last(text, ':');
	if (colon <= 0)
		return bad_address(c->address, e);
	struct str host = str_head(text, (size_t)colon);
	struct str port = str_tail(text, (size_t)colon + 1);
	bool is_bracketed = str_starts(host, "[") && str_ends(host, "]");
	if (is_bracketed)
		host = (struct str){ host.p + 1, host.n - 2 };
	uint64_t number;
	if (host.n == 0 || host.n >= sizeof c->host ||
	    !str_to_u64(port, &number) || number == 0 || number > 65535)
		return bad_address(c->address, e);
	snprintf(c->host, sizeof c->host, "%.*s", STR_ARG(host));
	snprintf(c->port, sizeof c->port, "%d", (int)number);
	struct sockaddr_in *in = (void *)&c->literal;
	struct sockaddr_in6 *in6 = (void *)&c->literal;
	if (is_bracketed && uv_ip6_addr(c->host, (int)number, in6) != 0)
		return bad_address(c->address, e);
	if (!is_bracketed && str_find(host, ':') >= 0)
		return bad_address(c->address, e);
	if (!is_bracketed && uv_ip4_addr(c->host, (int)number, in) != 0)
		c->literal.ss_family = AF_UNSPEC;
	return 0;
}

int connect_new(const char *address, void (*on_open)(void *ctx),
		struct connect **out, bool *is_unix, struct err *e)
{
	auto_(connect) c = xcalloc(1, sizeof *c);
	c->address = xstrdup(address);
	c->on_open = on_open;
	c->is_unix = str_starts(str_of(address), STREAM_UNIX_PREFIX);
	if (c->is_unix) {
		size_t n = strlen(address) - strlen(STREAM_UNIX_PREFIX);
		if (n == 0)
			return bad_address(address, e);
		/* libuv would cut a longer one. */
		if (n >= sizeof((struct sockaddr_un *)0)->sun_path)
			return err_set(e, ERR_INVALID,
				       "%s: the path of a Unix socket has at "
				       "most 107 bytes",
				       address);
	} else if (split(c, e) < 0) {
		return -1;
	}
	*is_unix = c->is_unix;
	*out = steal(&c);
	return 0;
}

static void fail(struct connect *c)
{
	struct err e;
	err_set(&e, ERR_SYSTEM, "connect %s: %s", c->address,
		uv_strerror(c->failure));
	stream_fail(c->s, &e);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct connect *c = container_of(req, struct connect, req);
	struct stream *s = c->s;
	c->is_busy = false;
	c->failure = status;
	if (!s) {
		destroy(c);
	} else if (status == 0) {
		void (*on_open)(void *ctx) = c->on_open;
		if (!c->is_unix)
			uv_tcp_nodelay(&s->uv.tcp, 1);
		destroy(c);
		stream_opened(s, on_open);
	} else if (c->next) {
		stream_renew(s);
	} else {
		fail(c);
	}
}

static void try_tcp(struct connect *c, const struct sockaddr *to)
{
	int r = uv_tcp_connect(&c->req, &c->s->uv.tcp, to, on_connected);
	c->is_busy = r == 0;
	if (r == 0)
		return;
	/* "Network is unreachable" comes at once; the owner must not hear of it
	 * before stream_connect() has returned. */
	c->failure = r;
	stream_renew(c->s);
}

void connect_again(struct connect *c)
{
	struct addrinfo *a = c->next;
	if (!a) {
		fail(c);
		return;
	}
	c->next = a->ai_next;
	try_tcp(c, a->ai_addr);
}

static void on_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct connect *c = container_of(req, struct connect, lookup);
	c->found = c->next = found;
	c->is_busy = false;
	c->failure = status;
	if (!c->s)
		destroy(c);
	else
		connect_again(c);
}

void connect_start(struct connect *c, struct stream *s)
{
	c->s = s;
	if (c->is_unix) {
		const char *path = c->address + strlen(STREAM_UNIX_PREFIX);
		c->is_busy = true;
		uv_pipe_connect(&c->req, &s->uv.pipe, path, on_connected);
		return;
	}
	if (c->literal.ss_family != AF_UNSPEC) {
		try_tcp(c, (const struct sockaddr *)&c->literal);
		return;
	}
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int r = uv_getaddrinfo(s->uv.any.loop, &c->lookup, on_found, c->host,
			       c->port, &hints);
	c->is_busy = r == 0;
	if (r != 0) {
		c->failure = r;
		stream_renew(s);
	}
}
