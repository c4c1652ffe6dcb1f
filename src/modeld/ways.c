#include "modeld/ways.h"
#include "api/caller.h"
#include "io/listener.h"
#include "modeld/rundir.h"

#include <stdio.h>

struct way {
	struct list link;
	struct ways *ways;
	struct listener *listener; /* owned */
	enum access_way door;
	char *ip;  /* owned; NULL: the Unix socket */
	int asked; /* the port of the settings, where 0 is any */
	bool is_tls;
	char *text; /* owned; for api->listen */
	bool is_wanted;
};

/* An address that the settings ask for. */
struct place {
	const char *ip;
	int asked; /* as the settings have it */
	bool is_tls;
	int port; /* asked, or what 0 has become */
};

/* Plain and TLS, and for each one address and loopback's two. */
#define PLACES_MAX 6

static void way_free(struct way *w)
{
	if (!w)
		return;
	listener_free(w->listener);
	free(w->ip);
	free(w->text);
	free(w);
}
BASE_AUTO(way);

static void on_accept(void *ctx, struct stream *s)
{
	struct way *w = ctx;
	if (w->is_tls)
		tls_start(w->ways->certs->tls, s, NULL);
	http_server_take(w->ways->api->server, s, caller_new(w->door, s),
			 w->listener);
}

void ways_init(struct ways *w, struct uv_loop_s *loop, struct api *api,
	       const struct certs *certs)
{
	*w = (struct ways){
		.loop = loop, .api = api, .certs = certs, .more = json_array()
	};
	list_init(&w->open);
	list_init(&w->closed);
}

static struct way *new_way(struct ways *w, enum access_way door)
{
	struct way *way = xcalloc(1, sizeof *way);
	list_init(&way->link);
	way->ways = w;
	way->door = door;
	return way;
}

static void tell(struct ways *w)
{
	json_array_clear(w->api->listen);
	list_each (it, &w->open) {
		const struct way *way = container_of(it, struct way, link);
		json_array_append_new(w->api->listen, json_string(way->text));
	}
	json_array_extend(w->api->listen, w->more);
}

void ways_tell(struct ways *w, const char *url, bool is_open)
{
	size_t i;
	json_t *each;
	if (is_open)
		json_array_append_new(w->more, json_string(url));
	json_array_foreach(w->more, i, each)
	{
		if (is_open || strcmp(json_string_value(each), url) != 0)
			continue;
		json_array_remove(w->more, i);
		break;
	}
	tell(w);
}

int ways_port(const struct ways *w)
{
	for (struct list *it = w->open.next; it != &w->open; it = it->next) {
		const struct way *way = container_of(it, struct way, link);
		if (way->ip && !way->is_tls)
			return listener_port(way->listener);
	}
	return 0;
}

/* The port it got, or 0. */
static int open_tcp(struct ways *w, const struct place *p)
{
	struct err e;
	auto_(way) way = new_way(w, options_is_loopback(p->ip) ? ACCESS_HOST
							       : ACCESS_OTHER);
	if (listener_tcp(w->loop, p->ip, p->port, on_accept, way,
			 &way->listener, &e)) {
		log_error("does not listen: %s", e.msg);
		return 0;
	}
	int port = listener_port(way->listener);
	bool is_v6 = strchr(p->ip, ':') != NULL;
	way->ip = xstrdup(p->ip);
	way->asked = p->asked;
	way->is_tls = p->is_tls;
	way->is_wanted = true;
	way->text = xasprintf("http%s://%s%s%s:%d", p->is_tls ? "s" : "",
			      is_v6 ? "[" : "", p->ip, is_v6 ? "]" : "", port);
	log_info("listens address=%s%s", strstr(way->text, "://") + 3,
		 p->is_tls ? " tls=on" : "");
	list_push_back(&w->open, &steal(&way)->link);
	return port;
}

static int open_unix(struct ways *w, const char *path)
{
	struct err e;
	auto_(way) way = new_way(w, ACCESS_SOCKET);
	rundir_make_parents(path);
	if (listener_unix(w->loop, path, 0660, on_accept, way, &way->listener,
			  &e)) {
		log_error("does not listen: %s", e.msg);
		return -1;
	}
	log_info("listens socket=%s", path);
	way->text = xasprintf("unix:%s", path);
	list_push_back(&w->open, &steal(&way)->link);
	return 0;
}

static void put_place(struct place *out, size_t *n, const char *ip, int port,
		      bool is_tls)
{
	out[(*n)++] = (struct place){
		.ip = ip, .asked = port, .is_tls = is_tls, .port = port
	};
}

/* `bind` and, if that is not an address of it, loopback. */
static void put_places(struct place *out, size_t *n, const char *bind, int port,
		       bool is_tls)
{
	bool is_loop = options_is_loopback(bind),
	     is_name = !strcmp(bind, "localhost");
	if (!is_name)
		put_place(out, n, bind, port, is_tls);
	if (is_name || (!is_loop && strcmp(bind, "0.0.0.0") != 0))
		put_place(out, n, "127.0.0.1", port, is_tls);
	if (is_name || (!is_loop && strcmp(bind, "::") != 0))
		put_place(out, n, "::1", port, is_tls);
}

/* Keys and questions are not for everybody on the way: where TLS is spoken,
 * plain HTTP does not leave the machine. */
static size_t places_of(const struct options *o, struct place out[PLACES_MAX])
{
	bool has_tls = o->tls_port != OPTIONS_PORT_OFF;
	bool is_far = !options_is_loopback(o->bind);
	size_t n = 0;
	if (is_far && !has_tls && o->port != OPTIONS_PORT_OFF)
		log_warn("keys and questions travel in plain text: tls-port "
			 "gives them TLS address=%s",
			 o->bind);
	if (o->port != OPTIONS_PORT_OFF && is_far && !has_tls)
		put_place(out, &n, o->bind, o->port, false);
	else if (o->port != OPTIONS_PORT_OFF)
		put_places(out, &n, is_far ? "localhost" : o->bind, o->port,
			   false);
	if (has_tls)
		put_places(out, &n, o->bind, o->tls_port, true);
	return n;
}

static struct way *find(struct ways *w, const struct place *p)
{
	list_each (it, &w->open) {
		struct way *way = container_of(it, struct way, link);
		if (way->ip && !strcmp(way->ip, p->ip) &&
		    way->asked == p->asked && way->is_tls == p->is_tls)
			return way;
	}
	return NULL;
}

/* Opens what is not open yet; how many of them are now. */
static size_t open_places(struct ways *w, struct place *places, size_t n)
{
	size_t n_open = 0;
	for (size_t i = 0; i < n; i++) {
		struct way *there = find(w, &places[i]);
		int port = there ? listener_port(there->listener)
				 : open_tcp(w, &places[i]);
		if (there)
			there->is_wanted = true;
		n_open += port != 0;
		/* Any free port, but the same one for all of a kind. */
		for (size_t j = i + 1; j < n; j++)
			if (!places[j].port &&
			    places[j].is_tls == places[i].is_tls)
				places[j].port = port;
	}
	return n_open;
}

int ways_open(struct ways *w, const struct options *o, struct err *e)
{
	struct place places[PLACES_MAX];
	size_t n = places_of(o, places);
	bool has_socket = strcmp(o->socket, "off") != 0;
	open_places(w, places, n);
	if (has_socket && open_unix(w, o->socket) && list_is_empty(&w->open))
		n = 1;
	tell(w);
	if (!list_is_empty(&w->open))
		return 0;
	return err_set(e, ERR_UNAVAILABLE,
		       n ? "nothing could be listened on; the lines above say "
			   "why"
			 : "port and socket are both off: nobody could reach "
			   "modeld");
}

static void close_unwanted(struct ways *w)
{
	list_each (it, &w->open) {
		struct way *way = container_of(it, struct way, link);
		if (!way->ip || way->is_wanted)
			continue;
		log_info("no longer listens address=%s", way->text);
		listener_stop(way->listener);
		list_remove(it);
		list_push_back(&w->closed, it);
	}
}

void ways_follow(struct ways *w, const struct options *old,
		 struct options *fresh)
{
	struct place places[PLACES_MAX];
	size_t n = places_of(fresh, places);
	if (w->api->is_draining ||
	    (fresh->port == old->port && fresh->tls_port == old->tls_port &&
	     !strcmp(fresh->bind, old->bind)))
		return;
	list_each (it, &w->open)
		container_of(it, struct way, link)->is_wanted = false;
	bool would_be_last = !n && strcmp(old->socket, "off") == 0;
	if (would_be_last || (open_places(w, places, n) == 0 && n)) {
		log_error("the port stays as it was reason=\"%s\"",
			  would_be_last ? "there is no other way in"
					: "the new one cannot be opened");
		fresh->port = old->port;
		fresh->tls_port = old->tls_port;
		free(fresh->bind);
		fresh->bind = xstrdup(old->bind);
		return;
	}
	close_unwanted(w);
	tell(w);
}

void ways_stop(struct ways *w)
{
	list_each (it, &w->open)
		listener_stop(container_of(it, struct way, link)->listener);
}

void ways_fini(struct ways *w)
{
	struct list *const heads[] = { &w->open, &w->closed };
	struct list *link;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		while (heads[i]->next && (link = list_pop_front(heads[i])))
			way_free(container_of(link, struct way, link));
	json_decref(steal(&w->more));
}
