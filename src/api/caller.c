#include "api/caller.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/head.h"
#include "io/peer.h"
#include "io/stream.h"
#include "oci/digest.h"

#include <stdio.h>
#include <unistd.h>

struct caller *caller_new(enum access_way door, struct stream *stream)
{
	struct caller *c = xcalloc(1, sizeof *c);
	struct stream_peer peer;
	stream_get_peer(stream, &peer);
	c->way = c->door = door;
	c->has_peer = peer.is_unix && peer.pid > 0;
	c->peer_uid = peer.uid;
	c->peer_pid = peer.pid;
	c->has_uid = c->has_peer;
	c->uid = peer.uid;
	c->pid = peer.pid;
	/* Every container comes from the host's end of their way. */
	if (door != ACCESS_CONTAINERS)
		memcpy(c->address, peer.address, sizeof c->address);
	peer_of(stream, &c->ends);
	peer_text(&c->ends, &c->ends.ours, c->local);
	return c;
}

void caller_free(struct caller *c)
{
	if (!c)
		return;
	if (c->forget)
		c->forget(c->forget_ctx);
	if (c->has_patience)
		timer_fini(&c->patience);
	free(c);
}

/* ---- what the kernel and the helper know ---- */

void caller_identify(struct caller *c)
{
	struct err e;
	bool may_be_local = c->door == ACCESS_HOST || c->door == ACCESS_OTHER;
	if (c->is_identified || !may_be_local)
		return;
	c->is_identified = true;
	int got = peer_find_uid(&c->ends, &c->uid, &e);
	c->has_uid = got == 0;
	if (got < 0)
		log_debug("user not known address=%s error=\"%s\"", c->address,
			  e.msg);
}

void caller_expect(struct caller *c, struct uv_loop_s *loop,
		   void (*forget)(void *ctx), void *ctx)
{
	c->loop = loop;
	c->forget = forget;
	c->forget_ctx = ctx;
}

static void copy(char *to, size_t max, struct str from)
{
	from = str_head(from, max);
	if (from.n)
		memcpy(to, from.p, from.n);
	to[from.n] = '\0';
}

static void go_on(struct caller *c)
{
	void (*fn)(void *ctx) = c->on_known;
	c->on_known = NULL;
	if (c->has_patience)
		timer_stop(&c->patience);
	if (fn)
		fn(c->on_known_ctx);
}

void caller_learn(struct caller *c, const struct caller_facts *f)
{
	c->forget = NULL;
	if (f) {
		if (f->address.n)
			copy(c->address, CALLER_ADDRESS_MAX, f->address);
		copy(c->container, CALLER_CONTAINER_MAX, f->container);
		copy(c->name, CALLER_NAME_MAX, f->name);
	}
	go_on(c);
}

static void on_late(void *ctx)
{
	struct caller *c = ctx;
	c->is_late = true;
	go_on(c);
}

int caller_wait(struct caller *c, void (*fn)(void *ctx), void *ctx)
{
	if (!c->forget || c->is_late)
		return 0;
	if (!c->has_patience)
		timer_init(&c->patience, c->loop, on_late, c);
	c->has_patience = true;
	c->on_known = fn;
	c->on_known_ctx = ctx;
	timer_start(&c->patience, LIMIT_HELPER_WHO_MS);
	return CALLER_WAITS;
}

void caller_wait_cancel(struct caller *c)
{
	c->on_known = NULL;
	if (c->has_patience)
		timer_stop(&c->patience);
}

/* ---- a request ---- */

/* "uid=1000 pid=4711" */
static bool read_front(struct str text, unsigned *uid, int *pid)
{
	struct str first;
	uint64_t u, p;
	if (!str_split(&text, ' ', &first) || !str_starts(first, "uid=") ||
	    !str_starts(text, "pid=") || !str_to_u64(str_tail(first, 4), &u) ||
	    !str_to_u64(str_tail(text, 4), &p) || u >= UINT32_MAX ||
	    p > INT32_MAX)
		return false;
	*uid = (unsigned)u;
	*pid = (int)p;
	return true;
}

void caller_begin(struct caller *c, const struct http_head *h)
{
	const struct http_field *front = head_find(h, "Modeld-Caller");
	c->key = NULL;
	c->way = c->door;
	if (!c->has_peer)
		return;
	c->has_uid = true;
	c->uid = c->peer_uid;
	c->pid = c->peer_pid;
	bool is_trusted = c->peer_uid == 0 || c->peer_uid == geteuid();
	if (!front || !is_trusted)
		return;
	c->way = ACCESS_DOCKER;
	/* What it says may be beyond us; it is not the front that calls. */
	c->has_uid = read_front(front->value, &c->uid, &c->pid);
}

/* ---- in words ---- */

static int who(const struct caller *c, char *buf, size_t n)
{
	if (c->has_uid && c->pid)
		return snprintf(buf, n, "uid=%u pid=%d", c->uid, c->pid);
	if (c->has_uid)
		return snprintf(buf, n, "uid=%u", c->uid);
	if (c->container[0])
		return snprintf(buf, n, "container=%s/%.12s", c->name,
				c->container);
	if (c->address[0])
		return snprintf(buf, n, "address=%s", c->address);
	return snprintf(buf, n, "way=%s", access_way_name(c->way));
}

const char *caller_text(const struct caller *c, char buf[CALLER_TEXT_BYTES])
{
	int n = who(c, buf, CALLER_TEXT_BYTES);
	if (c->key && n > 0 && n < CALLER_TEXT_BYTES)
		snprintf(buf + n, CALLER_TEXT_BYTES - (size_t)n, " key=%s",
			 c->key);
	return buf;
}

const char *caller_cache_id(const struct caller *c,
			    char buf[CALLER_CACHE_ID_BYTES])
{
	struct str key = str_of(c->key);
	if (c->key && key.n > LIMIT_CACHE_ID_BYTES - 4) {
		/* No key can be called like this: its '=' is another one. */
		struct digest d = digest_of(key);
		snprintf(buf, CALLER_CACHE_ID_BYTES, "longkey=%s", d.hex);
	} else if (c->key) {
		snprintf(buf, CALLER_CACHE_ID_BYTES, "key=%s", c->key);
	} else if (c->container[0]) {
		snprintf(buf, CALLER_CACHE_ID_BYTES, "container=%s",
			 c->container);
	} else if (c->has_uid) {
		snprintf(buf, CALLER_CACHE_ID_BYTES, "uid=%u", c->uid);
	} else {
		snprintf(buf, CALLER_CACHE_ID_BYTES, "way=%s",
			 access_way_name(c->way));
	}
	return buf;
}
