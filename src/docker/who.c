#include "docker/who.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "docker/dockerd.h"
#include "docker/networks.h"
#include "io/timer.h"

#include <string.h>

struct question {
	struct list link;
	struct in6_addr address;
	uint64_t asked; /* who.reads at that time: a later read can tell */
	enum { FOR_LIST, FOR_NETWORK, FOR_ANSWER } waits;
	who_fn fn;
	void *ctx;
	uint64_t id;
};

struct who {
	struct uv_loop_s *loop;
	struct dockerd *dockerd;
	const struct networks *networks;
	bool is_there;	 /* the Engine */
	bool is_fresh;	 /* nothing changed since `known` was asked for */
	bool is_reading; /* an answer is on its way */
	bool is_stale_meanwhile;
	bool is_asking; /* a network, for those that wait FOR_ANSWER */
	uint64_t reads; /* that were begun */
	uint64_t last_ms;
	struct containers known;
	/* Addresses that even a fresh list did not have. */
	struct in6_addr strange[LIMIT_WHO_STRANGE];
	size_t n_strange;
	struct timer pace;
	struct list waiting; /* question.link */
	size_t n_waiting;
};

static void answer(struct who *w, struct question *q, const struct container *c)
{
	list_remove(&q->link);
	w->n_waiting--;
	q->fn(q->ctx, q->id, &q->address, c);
	free(q);
}

static bool is_strange(const struct who *w, const struct in6_addr *a)
{
	for (size_t i = 0; i < w->n_strange; i++)
		if (memcmp(&w->strange[i], a, sizeof *a) == 0)
			return true;
	return false;
}

static void add_strange(struct who *w, const struct in6_addr *a)
{
	if (is_strange(w, a))
		return;
	if (w->n_strange == LIMIT_WHO_STRANGE)
		w->n_strange = 0; /* they are asked for anew */
	w->strange[w->n_strange++] = *a;
}

static void read_soon(struct who *w);

/* ---- the network that an address is in ---- */

static void ask_network(struct who *w);

static void on_network(void *ctx, int outcome, const json_t *network,
		       const struct err *e)
{
	struct who *w = ctx;
	struct containers there = { 0 };
	struct err why;
	w->is_asking = false;
	if (outcome == 0 && containers_read_network(network, &there, &why)) {
		outcome = -1;
		e = &why;
	}
	if (outcome)
		log_debug("a network is not known error=\"%s\"", e->msg);
	list_each (link, &w->waiting) {
		struct question *q = container_of(link, struct question, link);
		if (q->waits != FOR_ANSWER)
			continue;
		const struct container *c =
			containers_find(&there, &q->address);
		if (!c && outcome == 0)
			add_strange(w, &q->address);
		answer(w, q, c);
	}
	containers_fini(&there);
	ask_network(w);
}

static void ask_network(struct who *w)
{
	const struct network *n = NULL;
	if (w->is_asking)
		return;
	list_each (link, &w->waiting) {
		struct question *q = container_of(link, struct question, link);
		if (q->waits != FOR_NETWORK)
			continue;
		const struct network *its =
			networks_find(w->networks, &q->address);
		if (!its) {
			add_strange(w, &q->address);
			answer(w, q, NULL);
		} else if (!n || its == n) {
			n = its;
			q->waits = FOR_ANSWER;
		}
	}
	if (!n)
		return;
	auto_free char *path = xasprintf("/networks/%s", n->id);
	w->is_asking = true;
	dockerd_get(w->dockerd, path, on_network, w);
}

/* ---- the list of all ---- */

static void answer_waiting(struct who *w)
{
	list_each (link, &w->waiting) {
		struct question *q = container_of(link, struct question, link);
		/* Or it came after this read began. */
		if (q->waits != FOR_LIST || q->asked >= w->reads)
			continue;
		const struct container *c =
			containers_find(&w->known, &q->address);
		if (c)
			answer(w, q, c);
		else
			q->waits = FOR_NETWORK;
	}
	ask_network(w);
}

static bool is_list_wanted(const struct who *w)
{
	list_each (link, &w->waiting)
		if (container_of(link, struct question, link)->waits ==
		    FOR_LIST)
			return true;
	return !w->is_fresh;
}

static void on_list(void *ctx, int outcome, const json_t *list,
		    const struct err *e)
{
	struct who *w = ctx;
	struct containers fresh = { 0 };
	struct err why;
	w->is_reading = false;
	if (outcome == 0 && containers_read(list, &fresh, &why)) {
		outcome = -1;
		e = &why;
	}
	if (outcome)
		log_debug("containers are not known error=\"%s\"", e->msg);
	containers_fini(&w->known);
	w->known = fresh;
	w->n_strange = 0;
	w->is_fresh = outcome == 0 && !w->is_stale_meanwhile;
	answer_waiting(w);
	if (is_list_wanted(w))
		read_soon(w);
}

static void on_pace(void *ctx)
{
	struct who *w = ctx;
	if (w->is_reading || !w->is_there)
		return;
	w->is_reading = true;
	w->is_stale_meanwhile = false;
	w->reads++;
	w->last_ms = timer_now_ms(w->loop);
	dockerd_get(w->dockerd, "/containers/json", on_list, w);
}

static void read_soon(struct who *w)
{
	if (w->is_reading || !w->is_there || timer_is_active(&w->pace))
		return;
	uint64_t now = timer_now_ms(w->loop);
	uint64_t due = w->last_ms + LIMIT_WHO_PACE_MS;
	timer_start(&w->pace, w->last_ms && due > now ? due - now : 0);
}

void who_ask(struct who *w, const struct in6_addr *address, who_fn fn,
	     void *ctx, uint64_t id)
{
	const struct container *c =
		w->is_fresh ? containers_find(&w->known, address) : NULL;
	if (c || !w->is_there || w->n_waiting == LIMIT_WHO_WAITING ||
	    (w->is_fresh && is_strange(w, address))) {
		fn(ctx, id, address, c);
		return;
	}
	struct question *q = xcalloc(1, sizeof *q);
	/* A list that is fresh does not have it, and for one that is old the
	 * caller would wait: its network tells the same. */
	bool asks_network = w->is_fresh || networks_find(w->networks, address);
	*q = (struct question){ .address = *address,
				.asked = w->reads,
				.waits = asks_network ? FOR_NETWORK : FOR_LIST,
				.fn = fn,
				.ctx = ctx,
				.id = id };
	list_push_back(&w->waiting, &q->link);
	w->n_waiting++;
	if (asks_network)
		ask_network(w);
	else
		read_soon(w);
}

void who_forget(struct who *w, const void *ctx)
{
	list_each (link, &w->waiting) {
		struct question *q = container_of(link, struct question, link);
		if (q->ctx != ctx)
			continue;
		list_remove(&q->link);
		w->n_waiting--;
		free(q);
	}
}

void who_stale(struct who *w)
{
	w->is_fresh = false;
	w->is_stale_meanwhile = true;
	read_soon(w);
}

void who_set_engine(struct who *w, bool is_there)
{
	w->is_there = is_there;
	if (is_there) {
		who_stale(w);
		return;
	}
	w->is_fresh = false;
	timer_stop(&w->pace);
	while (!list_is_empty(&w->waiting))
		answer(w, container_of(w->waiting.next, struct question, link),
		       NULL);
}

struct who *who_new(struct uv_loop_s *loop, struct dockerd *d,
		    const struct networks *networks)
{
	struct who *w = xcalloc(1, sizeof *w);
	w->loop = loop;
	w->dockerd = d;
	w->networks = networks;
	list_init(&w->waiting);
	timer_init(&w->pace, loop, on_pace, w);
	return w;
}

void who_free(struct who *w)
{
	if (!w)
		return;
	while (!list_is_empty(&w->waiting))
		free(container_of(list_pop_front(&w->waiting), struct question,
				  link));
	timer_fini(&w->pace);
	containers_fini(&w->known);
	free(w);
}
