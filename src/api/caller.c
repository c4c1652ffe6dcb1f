#include "api/caller.h"
#include "http/head.h"
#include "io/stream.h"

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
	memcpy(c->address, peer.address, sizeof c->address);
	return c;
}

void caller_free(struct caller *c)
{
	free(c);
}

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
	c->uid = c->peer_uid;
	c->pid = c->peer_pid;
	bool is_trusted = c->peer_uid == 0 || c->peer_uid == geteuid();
	if (front && is_trusted && read_front(front->value, &c->uid, &c->pid))
		c->way = ACCESS_DOCKER;
}

static int who(const struct caller *c, char *buf, size_t n)
{
	if (c->has_uid)
		return snprintf(buf, n, "uid=%u pid=%d", c->uid, c->pid);
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
	buf[0] = '\0';
	if (c->key)
		snprintf(buf, CALLER_CACHE_ID_BYTES, "key=%s", c->key);
	else if (c->container[0])
		snprintf(buf, CALLER_CACHE_ID_BYTES, "container=%s",
			 c->container);
	else if (c->has_uid)
		snprintf(buf, CALLER_CACHE_ID_BYTES, "uid=%u", c->uid);
	return buf;
}
