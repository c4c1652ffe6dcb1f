#include "modeld/helper.h"
#include "base/limits.h"
#include "io/fdlink.h"
#include "io/peer.h"
#include "io/timer.h"

#include <ctype.h>
#include <stdio.h>

/* A question whose answer is not there after so long makes room for others. */
#define STALE_MS 10000

struct helper {
	struct gates *gates;
	char *path; /* owned; NULL: off */
	int port;
	struct fdlink *link; /* owned; NULL: away */
	struct timer retry;
	uint64_t pause_ms;
	uint64_t linked_ms; /* when the link was made */
	bool has_complained;
	struct list asked; /* ask.link, oldest first */
	size_t n_asked;
	int64_t last_id;
};

struct ask {
	struct list link;
	struct helper *helper;
	int64_t id;
	uint64_t at_ms;
	struct caller *caller; /* NULL: gone, but the helper does not know */
};

static uint64_t now_ms(const struct helper *h)
{
	return timer_now_ms(h->gates->ways->loop);
}

/* ---- who is it? ---- */

static void forget(void *ctx)
{
	struct ask *a = ctx;
	a->caller = NULL;
}

static void answer(struct ask *a, const struct caller_facts *facts)
{
	struct caller *c = a->caller;
	list_remove(&a->link);
	a->helper->n_asked--;
	free(a);
	if (c)
		caller_learn(c, facts);
}

/* Oldest first. */
static struct ask *first_asked(const struct helper *h)
{
	return list_is_empty(&h->asked)
		       ? NULL
		       : container_of(h->asked.next, struct ask, link);
}

static void on_visit(void *ctx, struct caller *c, const struct peer_ends *ends)
{
	struct helper *h = ctx;
	char theirs[PEER_TEXT_BYTES], ours[PEER_TEXT_BYTES], line[256];
	struct ask *old = first_asked(h);
	if (h->n_asked == LIMIT_HELPER_ASKED &&
	    now_ms(h) - old->at_ms > STALE_MS)
		answer(old, NULL);
	if (!h->link || !ends->family || h->n_asked == LIMIT_HELPER_ASKED)
		return;
	struct ask *a = xcalloc(1, sizeof *a);
	a->helper = h;
	a->id = ++h->last_id;
	a->at_ms = now_ms(h);
	a->caller = c;
	h->n_asked++;
	list_push_back(&h->asked, &a->link);
	caller_expect(c, h->gates->ways->loop, forget, a);
	peer_text(ends, &ends->theirs, theirs);
	peer_text(ends, &ends->ours, ours);
	snprintf(line, sizeof line,
		 "{\"type\":\"who\",\"id\":%lld,\"peer\":\"%s\",\"local\":"
		 "\"%s\"}",
		 (long long)a->id, theirs, ours);
	fdlink_send(h->link, str_of(line));
}

/* Nothing that could be taken for more than a name stands in a log. */
static bool is_word(struct str s, const char *marks, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) &&
		    (!s.p[i] || !strchr(marks, s.p[i])))
			return false;
	return s.n <= max;
}

static int read_who(struct helper *h, const json_t *j, struct err *e)
{
	struct caller_facts f = { 0 };
	int64_t id = 0;
	if (json_get_int(j, "id", 1, INT64_MAX, &id, e) ||
	    json_get_str(j, "address", &f.address, e) ||
	    json_get_str(j, "container", &f.container, e) ||
	    json_get_str(j, "name", &f.name, e))
		return -1;
	if (!is_word(f.address, ".:[]%", CALLER_ADDRESS_MAX) ||
	    !is_word(f.container, "", CALLER_CONTAINER_MAX) ||
	    !is_word(f.name, "_.-", CALLER_NAME_MAX))
		return err_set(e, ERR_INVALID,
			       "an address, a container or its name has "
			       "characters or a length that none has");
	list_each (it, &h->asked) {
		struct ask *a = container_of(it, struct ask, link);
		if (a->id != id)
			continue;
		answer(a, &f);
		return 0;
	}
	return 0; /* asked so long ago that it was given up */
}

/* ---- what it says ---- */

static int read_listen(struct helper *h, const json_t *j, struct err *e)
{
	struct str way = { 0 };
	enum access_way door;
	int fd = fdlink_take(h->link);
	auto_close int owned = fd;
	if (json_get_str(j, "way", &way, e))
		return -1;
	if (!access_way_parse(way, &door) ||
	    (door != ACCESS_CONTAINERS && door != ACCESS_GATEWAY))
		return err_set(e, ERR_INVALID,
			       "'way' must be containers or gateway");
	if (fd < 0)
		return err_set(e, ERR_INVALID, "no socket came with 'listen'");
	if (gates_add(h->gates, door, steal_fd(&owned), e))
		return -1;
	h->has_complained = false;
	return 0;
}

static int read_refused(struct helper *h, const json_t *j, struct err *e)
{
	struct str reason = { 0 };
	if (json_get_str(j, "reason", &reason, e))
		return -1;
	if (!h->has_complained)
		log_warn("the helper refused us reason=\"%.*s\"",
			 STR_ARG(str_head(reason, 200)));
	h->has_complained = true;
	return 0;
}

static int read_line(struct helper *h, struct str line, struct err *e)
{
	auto_json *j = NULL;
	struct str type = { 0 };
	if (json_parse(line, &j, e))
		return -1;
	if (!json_is_object(j))
		return err_set(e, ERR_INVALID, "not an object");
	if (json_get_str(j, "type", &type, e))
		return -1;
	if (str_eq(type, "who"))
		return read_who(h, j, e);
	if (str_eq(type, "listen"))
		return read_listen(h, j, e);
	if (str_eq(type, "bridges"))
		return gates_set_bridges(h->gates, json_object_get(j, "names"),
					 e);
	if (str_eq(type, "refused"))
		return read_refused(h, j, e);
	return 0; /* a newer helper may say more */
}

/* ---- the link ---- */

static void unlink_it(struct helper *h)
{
	struct ask *a;
	bool was_long = now_ms(h) - h->linked_ms >= LIMIT_HELPER_PAUSE_MS;
	fdlink_free(steal(&h->link));
	gates_close(h->gates);
	if (was_long)
		h->pause_ms = LIMIT_HELPER_PAUSE_MIN_MS;
	while ((a = first_asked(h)))
		answer(a, NULL);
}

static void try_later(struct helper *h)
{
	timer_start(&h->retry, h->pause_ms);
	h->pause_ms = MIN(2 * h->pause_ms, (uint64_t)LIMIT_HELPER_PAUSE_MS);
}

static void on_end(void *ctx, const struct err *e)
{
	struct helper *h = ctx;
	if (h->gates->n_open || !h->has_complained)
		log_warn("the way in for containers is gone, and is tried "
			 "again reason=\"%s\"",
			 e->msg);
	h->has_complained = true;
	unlink_it(h);
	try_later(h);
}

static void on_line(void *ctx, struct str line)
{
	struct helper *h = ctx;
	struct err e;
	if (read_line(h, line, &e)) {
		err_wrap(&e, "modeld-docker says what it should not");
		on_end(h, &e);
	}
}

static void connect_now(void *ctx)
{
	static const struct fdlink_fns fns = { on_line, on_end };
	struct helper *h = ctx;
	struct err e;
	char hello[64];
	if (fdlink_connect(h->gates->ways->loop, h->path, 0, &fns, h, &h->link,
			   &e)) {
		/* Absent is usual: Docker is not connected. */
		if (e.code != ERR_REFUSED && !h->has_complained) {
			log_warn("no way in for containers reason=\"%s\"",
				 e.msg);
			h->has_complained = true;
		}
		try_later(h);
		return;
	}
	h->linked_ms = now_ms(h);
	snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"port\":%d}",
		 h->port);
	fdlink_send(h->link, str_of(hello));
}

struct helper *helper_new(struct gates *g)
{
	struct helper *h = xcalloc(1, sizeof *h);
	h->gates = g;
	g->on_visit = on_visit;
	g->ctx = h;
	list_init(&h->asked);
	timer_init(&h->retry, g->ways->loop, connect_now, h);
	return h;
}

void helper_follow(struct helper *h, const char *path, int port)
{
	bool is_same = path && h->path ? strcmp(path, h->path) == 0
				       : !path && !h->path;
	if (is_same && port == h->port)
		return;
	unlink_it(h);
	timer_stop(&h->retry);
	free(h->path);
	h->path = path ? xstrdup(path) : NULL;
	h->port = port;
	h->pause_ms = LIMIT_HELPER_PAUSE_MIN_MS;
	h->has_complained = false;
	if (path)
		connect_now(h);
}

void helper_free(struct helper *h)
{
	if (!h)
		return;
	unlink_it(h);
	timer_fini(&h->retry);
	h->gates->on_visit = NULL;
	free(h->path);
	free(h);
}
