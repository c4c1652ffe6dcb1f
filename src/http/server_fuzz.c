/* Any bytes, cut anywhere, against a handler that does anything it may, in any
 * order: the server must not crash, leak or lose count. The input is a script:
 * each step is one byte, with what it needs after it. */
#include "http/server.h"

#include <assert.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uv_loop_t loop;
static struct http_server *server;
static struct listener *listener;
static struct http_exchange *held; /* by the handler; NULL: none */
static bool wants_body;
static int opened, over, taken, closed;
static struct sockaddr_un where = { .sun_family = AF_UNIX };

static void on_gone(void *ctx)
{
	(void)ctx;
	held = NULL;
}

static void on_body(void *ctx, struct str body)
{
	(void)ctx;
	if (!held || !body.n)
		return;
	if (body.p[0] == 'p')
		exchange_body_pause(held);
	else if (body.p[0] == 'a')
		exchange_abort(steal(&held));
	else if (body.p[0] == 'r' && !exchange_is_started(held))
		exchange_reply(steal(&held), 200, NULL, STR("early"));
}

/* What a handler may do with an exchange at any time. */
static void act(unsigned what)
{
	if (!held)
		return;
	bool is_started = exchange_is_started(held);
	switch (what % 8) {
	case 0:
		if (!is_started)
			exchange_reply(steal(&held), 200, NULL, STR("whole"));
		break;
	case 1:
		if (!is_started)
			exchange_start(held, 200, EXCHANGE_CHUNKED);
		break;
	case 2:
		if (is_started)
			(void)!exchange_write(held, STR("piece"));
		break;
	case 3:
		if (is_started)
			exchange_end(steal(&held));
		break;
	case 4:
		exchange_abort(steal(&held));
		break;
	case 5:
	case 6:
		if (!wants_body && what % 8 == 5)
			exchange_collect(held, 20, on_body, NULL);
		else if (!wants_body)
			exchange_stream(held, what, on_body, NULL);
		wants_body = true;
		break;
	case 7:
		exchange_body_resume(held);
		break;
	}
}

static void on_request(void *ctx, struct http_exchange *x)
{
	static const struct exchange_fns fns = { on_gone, NULL };
	(void)ctx;
	assert(!held); /* one at a time */
	opened++;
	held = x;
	wants_body = false;
	exchange_set_user(x, &opened);
	exchange_set_fns(x, &fns, NULL);
	struct str path = exchange_target(x)->path;
	for (size_t i = 1; i < path.n && i < 4 && held; i++)
		if (path.p[i] != '_')
			act((unsigned char)path.p[i]);
}

static struct str error_body(void *ctx, const struct err *e, struct arena *a)
{
	(void)ctx;
	return str_of(arena_printf(a, "%s", e->msg));
}

static void on_over(void *ctx, struct http_exchange *x, int status,
		    uint64_t sent)
{
	(void)ctx;
	(void)status;
	(void)sent;
	over += exchange_user(x) != NULL;
}

static void on_close(void *ctx, void *visitor)
{
	(void)ctx;
	assert(visitor == &taken);
	closed++;
}

static void on_accept(void *ctx, struct stream *s)
{
	(void)ctx;
	taken++;
	http_server_take(server, s, &taken, listener);
}

static void clean_up(void)
{
	unlink(where.sun_path);
	*strrchr(where.sun_path, '/') = '\0';
	rmdir(where.sun_path);
}

static void set_up(void)
{
	char dir[] = "/tmp/server-fuzz-XXXXXX";
	struct err e;
	if (listener)
		return;
	uv_loop_init(&loop);
	if (!mkdtemp(dir))
		abort();
	snprintf(where.sun_path, sizeof where.sun_path, "%s/s", dir);
	if (listener_unix(&loop, where.sun_path, 0600, on_accept, NULL,
			  &listener, &e) < 0)
		abort();
	atexit(clean_up);
}

static size_t say(int fd, const uint8_t *data, size_t n)
{
	static const char *const ready[] = {
		"GET /_ HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD /0 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /123 HTTP/1.0\r\n\r\n",
		"POST /5 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
		"POST /6 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
		"\r\n\r\n",
		"POST /_ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		"Content-Length: 9\r\n\r\n",
		"9\r\nabcdefghi\r\n",
		"0\r\n\r\n",
	};
	size_t used = 0;
	if (data[0] & 0x80) {
		const char *text = ready[data[0] % ARRAY_LEN(ready)];
		(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
	} else {
		used = MIN((size_t)data[0], n - 1);
		(void)!send(fd, data + 1, used, MSG_NOSIGNAL);
	}
	return used + 1;
}

static void turn(void)
{
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void play(int fd, const uint8_t *data, size_t n)
{
	char drop[4096];
	while (n >= 2) {
		size_t used = 2;
		switch (data[0] % 6) {
		case 0:
		case 1:
			used = 1 + say(fd, data + 1, n - 1);
			break;
		case 2:
			act(data[1]);
			break;
		case 3:
			turn();
			used = 1;
			break;
		case 4:
			(void)!recv(fd, drop, sizeof drop, MSG_DONTWAIT);
			used = 1;
			break;
		case 5:
			if (data[1] == 0)
				shutdown(fd, SHUT_WR);
			break;
		}
		data += used;
		n -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct http_server_fns fns = { on_request, error_body,
						    on_over, on_close };
	set_up();
	opened = over = taken = closed = 0;
	held = NULL;
	server = http_server_new(&loop, &fns, NULL);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&where, sizeof where) < 0)
		abort();
	play(fd, data, n);
	turn();
	if (n % 2)
		http_server_drain(server);
	close(fd);
	turn();
	http_server_free(server);
	turn();
	assert(opened == over);
	assert(!held);
	return 0;
}
