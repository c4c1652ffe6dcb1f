/* libcurl must not be called again from inside one of its callbacks. So what an
 * owner asks for there (to start, to cancel) is noted, and done when libcurl
 * has returned: settle(). */
#include "io/transfer.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "io/curllib.h"
#include "io/proxyenv.h"
#include "io/timer.h"

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

struct transfer_pool {
	struct uv_loop_s *loop;
	const struct curllib *lib; /* NULL before the first transfer */
	CURLM *multi;		   /* NULL while nothing runs for long */
	struct timer timer;	   /* libcurl's */
	struct timer turn;	   /* starts and failures wait for it */
	struct timer idle;
	struct list all;
	int depth; /* inside libcurl */
};

struct transfer {
	struct list link;
	struct transfer_pool *m;
	const struct transfer_fns *fns; /* NULL: cancelled */
	void *ctx;
	CURL *easy;
	struct curl_slist *fields;
	struct buf head;
	int status; /* of the head that is being read */
	bool is_added;
	bool has_head; /* on_head was called */
	bool is_paused;
	bool is_waiting; /* for on_send to have more */
	bool has_proxy;
	bool is_refused; /* by `allows` */
	bool is_connected;
	bool has_address;
	struct netaddr address;
	char place[WEBURL_HOST_BYTES + 8];
	char why[CURL_ERROR_SIZE];
};

struct poller {
	uv_poll_t uv;
	struct transfer_pool *m;
	curl_socket_t fd;
};

static void settle(struct transfer_pool *m);

/* ---- the loop's side ---- */

static void act(struct transfer_pool *m, curl_socket_t fd, int events)
{
	int running;
	m->depth++;
	m->lib->multi_socket_action(m->multi, fd, events, &running);
	m->depth--;
	settle(m);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
	struct poller *p = container_of(uv, struct poller, uv);
	int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
		    (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
	/* A connection that broke may hold an answer still; whoever reads and
	 * writes it finds out, and why it broke. */
	if (status < 0)
		flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
	act(p->m, p->fd, flags);
}

static void on_poll_closed(uv_handle_t *h)
{
	free(container_of(h, struct poller, uv));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx,
		     void *socket)
{
	struct transfer_pool *m = ctx;
	struct poller *p = socket;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (p)
			uv_close((uv_handle_t *)&p->uv, on_poll_closed);
		return 0;
	}
	if (!p) {
		p = xcalloc(1, sizeof *p);
		p->m = m;
		p->fd = fd;
		uv_poll_init_socket(m->loop, &p->uv, fd);
		m->lib->multi_assign(m->multi, fd, p);
	}
	uv_poll_start(&p->uv,
		      (what & CURL_POLL_IN ? UV_READABLE : 0) |
			      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_poll);
	return 0;
}

static void on_timer(void *ctx)
{
	act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *ctx)
{
	struct transfer_pool *m = ctx;
	(void)multi;
	if (ms < 0)
		timer_stop(&m->timer);
	else
		timer_start(&m->timer, (uint64_t)ms);
	return 0;
}

/* ---- libcurl's callbacks ---- */

static bool allows(struct transfer *t, const struct netaddr *a)
{
	if (!t->fns)
		return false;
	if (t->has_proxy || !t->fns->allows || t->fns->allows(t->ctx, a))
		return true;
	t->is_refused = true;
	return false;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose,
			     struct curl_sockaddr *to)
{
	struct transfer *t = ctx;
	struct netaddr a;
	(void)purpose;
	if (!netaddr_from(&to->addr, &a) || !allows(t, &a))
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* A kept connection may have been opened under another owner's rules. */
static int on_ready(void *ctx, char *ip, char *own_ip, int port, int own_port)
{
	struct transfer *t = ctx;
	(void)own_ip;
	(void)port;
	(void)own_port;
	t->is_connected = true;
	t->has_address = !t->has_proxy && netaddr_parse(ip, &t->address);
	if (!t->has_proxy && (!t->has_address || !allows(t, &t->address)))
		return CURL_PREREQFUNC_ABORT;
	return CURL_PREREQFUNC_OK;
}

static size_t on_line(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct str line = { p, size * n };
	if (!t->fns)
		return 0;
	if (t->has_head) /* trailers */
		return line.n;
	if (str_starts(line, "HTTP/")) {
		buf_clear(&t->head);
		ptrdiff_t space = str_find(line, ' ');
		uint64_t status;
		if (space < 0 ||
		    !str_to_u64(str_head(str_tail(line, (size_t)space + 1), 3),
				&status))
			return 0;
		t->status = (int)status;
		return line.n;
	}
	if (buf_put(&t->head, line.p, line.n)) {
		snprintf(t->why, sizeof t->why, "the head is too large");
		return 0;
	}
	if (line.p[0] != '\r' && line.p[0] != '\n')
		return line.n;
	if (t->status / 100 == 1)
		return line.n;
	t->has_head = true;
	t->fns->on_head(t->ctx, t->status);
	return line.n;
}

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct str piece = { p, size * n };
	if (!t->fns)
		return 0;
	if (t->fns->on_body(t->ctx, piece) == TRANSFER_FULL && t->fns) {
		t->is_paused = true;
		t->m->lib->easy_pause(t->easy, CURLPAUSE_RECV);
	}
	return piece.n;
}

static size_t on_send(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	if (!t->fns)
		return CURL_READFUNC_ABORT;
	size_t got = t->fns->on_send(t->ctx, p, size * n);
	if (!t->fns)
		return CURL_READFUNC_ABORT;
	t->is_waiting = got == 0;
	return got ? got : CURL_READFUNC_PAUSE;
}

/* ---- the end ---- */

static void release(struct transfer *t)
{
	struct transfer_pool *m = t->m;
	list_remove(&t->link);
	if (t->is_added)
		m->lib->multi_remove_handle(m->multi, t->easy);
	if (t->easy)
		m->lib->easy_cleanup(t->easy);
	m->lib->slist_free_all(t->fields);
	buf_fini(&t->head);
	free(t);
}

static int explain(const struct transfer *t, CURLcode code, struct err *e)
{
	const char *why = t->why[0] ? t->why : t->m->lib->easy_strerror(code);
	if (t->is_refused)
		return err_set(e, ERR_FORBIDDEN,
			       "%s leads to an address inside, where a "
			       "registry outside may not send us",
			       t->place);
	if (code == CURLE_OPERATION_TIMEDOUT && !t->is_connected)
		code = CURLE_COULDNT_CONNECT;
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return err_set(e, ERR_REFUSED, "%s cannot be reached: %s",
			       t->place, why);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_ENGINE_SLOW, "%s is too slow: %s",
			       t->place, why);
	case CURLE_PEER_FAILED_VERIFICATION:
		return err_set(e, ERR_SYSTEM,
			       "the certificate of %s is not trusted (%s); if "
			       "its authority is your company's, add it to the "
			       "system's or name its file by SSL_CERT_FILE",
			       t->place, why);
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(e, ERR_SYSTEM, "%s: %s", t->place, why);
	default:
		return err_set(e, ERR_ENGINE, "%s: %s", t->place, why);
	}
}

static void end(struct transfer *t, CURLcode code)
{
	const struct transfer_fns *fns = steal(&t->fns);
	struct err e;
	int outcome = 0;
	if (code != CURLE_OK || !t->has_head)
		outcome = explain(t, code, &e);
	if (fns)
		fns->on_end(t->ctx, outcome, &e);
	release(t);
}

static void on_idle(void *ctx)
{
	struct transfer_pool *m = ctx;
	if (!list_is_empty(&m->all) || !m->multi)
		return;
	m->lib->multi_cleanup(m->multi);
	m->multi = NULL;
	timer_stop(&m->timer);
	malloc_trim(0);
}

static void add_fresh(struct transfer_pool *m)
{
	list_each (it, &m->all) {
		struct transfer *t = container_of(it, struct transfer, link);
		if (t->is_added || !t->fns)
			continue;
		t->is_added = true;
		CURLMcode got = m->lib->multi_add_handle(m->multi, t->easy);
		assert(got == CURLM_OK);
	}
}

/* An owner's on_end may start, cancel, and even free another's transfer; each
 * round begins anew. Only libcurl's own turn gives messages. */
static void settle(struct transfer_pool *m)
{
	int left;
	CURLMsg *msg;
	if (m->depth)
		return;
	list_each (it, &m->all) {
		struct transfer *t = container_of(it, struct transfer, link);
		if (!t->fns)
			release(t);
	}
	while (m->multi && (msg = m->lib->multi_info_read(m->multi, &left))) {
		struct transfer *t = NULL;
		if (msg->msg != CURLMSG_DONE)
			continue;
		CURLcode code = msg->data.result;
		m->lib->easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		end(t, code);
	}
	if (list_is_empty(&m->all))
		timer_start(&m->idle, LIMIT_TRANSFERS_IDLE_MS);
}

static void on_turn(void *ctx)
{
	struct transfer_pool *m = ctx;
	add_fresh(m);
	settle(m);
}

/* ---- the start ---- */

static int prepare(struct transfer_pool *m, struct err *e)
{
	if (!m->lib)
		m->lib = curllib_get(e);
	if (!m->lib)
		return -1;
	if (m->multi)
		return 0;
	m->multi = m->lib->multi_init();
	assert(m->multi);
	m->lib->multi_setopt(m->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	m->lib->multi_setopt(m->multi, CURLMOPT_SOCKETDATA, m);
	m->lib->multi_setopt(m->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	m->lib->multi_setopt(m->multi, CURLMOPT_TIMERDATA, m);
	m->lib->multi_setopt(m->multi, CURLMOPT_MAXCONNECTS,
			     (long)LIMIT_TRANSFERS_KEPT);
	return 0;
}

#define SET(option, value) m->lib->easy_setopt(t->easy, CURLOPT_##option, value)

static void set_trust(struct transfer_pool *m, struct transfer *t)
{
	const char *file = getenv("SSL_CERT_FILE");
	const char *dir = getenv("SSL_CERT_DIR");
	/* The system's folder of certificates stays beside this file. */
	if (file && file[0])
		SET(CAINFO, file);
	if (dir && dir[0])
		SET(CAPATH, dir);
}

static void set_callbacks(struct transfer_pool *m, struct transfer *t)
{
	SET(PRIVATE, t);
	SET(ERRORBUFFER, t->why);
	SET(OPENSOCKETFUNCTION, on_open);
	SET(OPENSOCKETDATA, t);
	SET(PREREQFUNCTION, on_ready);
	SET(PREREQDATA, t);
	SET(HEADERFUNCTION, on_line);
	SET(HEADERDATA, t);
	SET(WRITEFUNCTION, on_data);
	SET(WRITEDATA, t);
}

static void set_limits(struct transfer_pool *m, struct transfer *t,
		       const struct transfer_request *r)
{
	unsigned silence =
		r->silence_ms ? r->silence_ms : LIMIT_TRANSFER_SLOW_MS;
	SET(CONNECTTIMEOUT_MS, (long)LIMIT_CONNECT_MS);
	SET(LOW_SPEED_LIMIT, (long)LIMIT_TRANSFER_SLOW_BYTES);
	SET(LOW_SPEED_TIME, (long)silence / 1000);
	SET(TIMEOUT_MS, (long)r->limit_ms);
	SET(BUFFERSIZE, (long)LIMIT_TRANSFER_READ_BYTES);
}

/* libcurl knows two ways to send a body, and calls them POST and upload. */
static void set_body(struct transfer_pool *m, struct transfer *t,
		     const struct transfer_request *r)
{
	if (strcmp(r->method, "HEAD") == 0) {
		SET(NOBODY, 1L);
		return;
	}
	if (strcmp(r->method, "GET") == 0)
		return;
	if (r->stream_bytes) {
		SET(UPLOAD, 1L);
		SET(INFILESIZE_LARGE, (curl_off_t)r->stream_bytes);
		SET(UPLOAD_BUFFERSIZE, (long)LIMIT_TRANSFER_READ_BYTES);
		SET(READFUNCTION, on_send);
		SET(READDATA, t);
		/* No SEEKFUNCTION: when a kept connection breaks, libcurl would
		 * send all of it again, where the owner can ask how much has
		 * come. */
	} else {
		SET(POST, 1L);
		SET(POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
		SET(COPYPOSTFIELDS, r->body.n ? r->body.p : "");
	}
	SET(CUSTOMREQUEST, r->method);
}

static void set_request(struct transfer_pool *m, struct transfer *t,
			const struct transfer_request *r)
{
	char text[WEBURL_TEXT_BYTES];
	const char *proxy = proxyenv_find(r->url);
	t->has_proxy = proxy[0] != '\0';
	SET(URL, weburl_text(r->url, text));
	SET(PROXY, proxy);
	SET(NOPROXY, "");
	SET(SUPPRESS_CONNECT_HEADERS, 1L);
	SET(PROTOCOLS_STR, "http,https");
	SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(NOSIGNAL, 1L);
	/* A look-up that hangs is left to its thread; otherwise the loop would
	 * wait for it. */
	SET(QUICK_EXIT, 1L);
	SET(PATH_AS_IS, 1L);
	SET(USERAGENT, "modeld/" MODELD_VERSION);
	set_body(m, t, r);
	t->fields = m->lib->slist_append(t->fields, "Expect:");
	for (size_t i = 0; i < r->n_fields; i++)
		t->fields = m->lib->slist_append(t->fields, r->fields[i]);
	SET(HTTPHEADER, t->fields);
}

struct transfer *transfer_start(struct transfer_pool *m,
				const struct transfer_request *r,
				const struct transfer_fns *fns, void *ctx,
				struct err *e)
{
	if (prepare(m, e))
		return NULL;
	struct transfer *t = xcalloc(1, sizeof *t);
	t->m = m;
	t->fns = fns;
	t->ctx = ctx;
	buf_init(&t->head, LIMIT_HEAD_BYTES);
	weburl_place(r->url, t->place);
	t->easy = m->lib->easy_init();
	assert(t->easy);
	set_callbacks(m, t);
	set_limits(m, t, r);
	set_trust(m, t);
	set_request(m, t, r);
	list_push_back(&m->all, &t->link);
	timer_stop(&m->idle);
	timer_start(&m->turn, 0);
	return t;
}

void transfer_cancel(struct transfer *t)
{
	struct transfer_pool *m = t->m;
	t->fns = NULL;
	if (m->depth == 0)
		release(t);
	if (list_is_empty(&m->all))
		timer_start(&m->idle, LIMIT_TRANSFERS_IDLE_MS);
}

static void go_on(struct transfer *t)
{
	struct transfer_pool *m = t->m;
	m->depth++;
	m->lib->easy_pause(t->easy, CURLPAUSE_CONT);
	m->depth--;
	/* What it had kept was handed out just now, which may have ended it. */
	timer_start(&m->turn, 0);
}

void transfer_resume(struct transfer *t)
{
	if (!t->is_paused)
		return;
	t->is_paused = false;
	go_on(t);
}

void transfer_send(struct transfer *t)
{
	if (!t->is_waiting)
		return;
	t->is_waiting = false;
	go_on(t);
}

struct transfer_pool *transfer_pool_new(struct uv_loop_s *loop)
{
	struct transfer_pool *m = xcalloc(1, sizeof *m);
	m->loop = loop;
	list_init(&m->all);
	timer_init(&m->timer, loop, on_timer, m);
	timer_init(&m->turn, loop, on_turn, m);
	timer_init(&m->idle, loop, on_idle, m);
	return m;
}

void transfer_pool_free(struct transfer_pool *m)
{
	if (!m)
		return;
	list_each (it, &m->all)
		release(container_of(it, struct transfer, link));
	if (m->multi)
		m->lib->multi_cleanup(m->multi);
	timer_fini(&m->timer);
	timer_fini(&m->turn);
	timer_fini(&m->idle);
	free(m);
}

/* ---- what the owner may ask ---- */

struct str transfer_field(const struct transfer *t, const char *name, size_t i)
{
	struct str rest = buf_str(&t->head), line;
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':');
		if (str_ends(line, "\r"))
			line.n--;
		if (colon > 0 &&
		    str_eq_nocase(str_head(line, (size_t)colon), name) &&
		    i-- == 0)
			return str_trim(str_tail(line, (size_t)colon + 1));
	}
	return (struct str){ NULL, 0 };
}

bool transfer_address(const struct transfer *t, struct netaddr *out)
{
	*out = t->address;
	return t->has_address;
}
