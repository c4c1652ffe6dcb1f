#include "oci/registry.h"
#include "base/log.h"

#include <stdio.h>

#define HUB "docker.io"
#define HUB_HOST "registry-1.docker.io"

/* ---- what all share ---- */

static char *copy(const char *s)
{
	return s && s[0] ? xstrdup(s) : NULL;
}

static void settings_fini(struct registry_settings *s)
{
	free((char *)s->default_registry);
	free((char *)s->insecure);
	free((char *)s->mirrors);
}

void registry_set_change(struct registry_set *r,
			 const struct registry_settings *s)
{
	settings_fini(&r->settings);
	r->settings = (struct registry_settings){
		.default_registry = copy(s->default_registry),
		.insecure = copy(s->insecure),
		.mirrors = copy(s->mirrors),
	};
}

struct registry_set *registry_set_new(struct uv_loop_s *loop,
				      const struct registry_settings *s)
{
	struct registry_set *r = xcalloc(1, sizeof *r);
	r->loop = loop;
	r->transfers = transfer_pool_new(loop);
	tokencache_init(&r->tokens);
	registry_set_change(r, s);
	return r;
}

void registry_set_free(struct registry_set *r)
{
	if (!r)
		return;
	transfer_pool_free(r->transfers);
	tokencache_fini(&r->tokens);
	settings_fini(&r->settings);
	free(r);
}

/* ---- schemes ---- */

/* HOST of HOST[:PORT] */
static struct str host_of(const char *name)
{
	struct str all = str_of(name);
	ptrdiff_t colon = str_find_last(all, ':');
	if (colon >= 0 && colon > str_find_last(all, ']'))
		all = str_head(all, (size_t)colon);
	return all;
}

static bool is_here(const char *name)
{
	char host[REF_PATH_BYTES];
	struct netaddr a;
	snprintf(host, sizeof host, "%.*s", STR_ARG(host_of(name)));
	return strcmp(host, "localhost") == 0 ||
	       (netaddr_parse(host, &a) &&
		netaddr_kind(&a) == NETADDR_LOOPBACK);
}

bool registry_is_plain(const char *name, const char *insecure)
{
	struct str list = str_of(insecure), item;
	struct str host = host_of(name);
	if (is_here(name) || str_ends(host, ".local"))
		return true;
	while (list.n && str_split(&list, ',', &item)) {
		char text[REF_PATH_BYTES];
		item = str_trim(item);
		if (!item.n || item.n >= sizeof text)
			continue;
		snprintf(text, sizeof text, "%.*s", STR_ARG(item));
		if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 ||
		    str_eq_nocase(str_of(name), text) ||
		    str_eq_nocase(host, text))
			return true;
	}
	return false;
}

/* ---- places ---- */

static void add(struct registry *r, const struct weburl *url, const char *name,
		bool is_mirror)
{
	r->places = xrealloc(r->places, (r->n + 1) * sizeof *r->places);
	struct registry_place *p = &r->places[r->n++];
	*p = (struct registry_place){ .url = *url, .is_mirror = is_mirror };
	p->may_be_https = !url->is_https && is_here(name);
	snprintf(p->reach.host, sizeof p->reach.host, "%s", url->host);
}

/* Only when all places lie where they will stay. */
static void add_auth(struct registry *r, const char *bearer)
{
	for (size_t i = 0; i < r->n; i++) {
		struct registry_place *p = &r->places[i];
		char own[WEBURL_HOST_BYTES + 8];
		p->auth = auth_new(&(struct auth_config){
			.loop = r->all->loop,
			.transfers = r->all->transfers,
			.tokens = &r->all->tokens,
			.registry = p->is_mirror ? weburl_place(&p->url, own)
						 : r->name,
			.default_registry = r->all->settings.default_registry,
			.repository = r->repository,
			.bearer = p->is_mirror ? NULL : bearer,
			.url = &p->url,
			.reach = &p->reach });
	}
}

static void trim_target(struct weburl *u)
{
	size_t n = strcspn(u->target, "?");
	while (n && u->target[n - 1] == '/')
		n--;
	u->target[n] = '\0';
}

static void add_mirrors(struct registry *r)
{
	struct str list = str_of(r->all->settings.mirrors), item;
	while (list.n && str_split(&list, ',', &item)) {
		struct weburl url;
		struct err e;
		item = str_trim(item);
		if (!item.n)
			continue;
		bool has_scheme = str_starts(item, "http://") ||
				  str_starts(item, "https://");
		auto_free char *text = xasprintf(
			"%s%.*s", has_scheme ? "" : "https://", STR_ARG(item));
		if (weburl_parse(str_of(text), &url, &e)) {
			log_warn("registry mirror left out error=\"%s\"",
				 e.msg);
			continue;
		}
		trim_target(&url);
		add(r, &url, url.host, true);
	}
}

static int check_bearer(const char *bearer, struct err *e)
{
	for (const char *p = bearer; p && *p; p++)
		if (*p <= ' ' || *p == 127)
			return err_set(e, ERR_INVALID,
				       "the bearer token has characters that "
				       "no token has");
	return 0;
}

static struct registry *registry_new(struct registry_set *all, const char *name,
				     const char *repository)
{
	struct registry *r = xcalloc(1, sizeof *r);
	r->all = all;
	r->uses = 1;
	r->name = xstrdup(name);
	r->repository = xstrdup(repository);
	return r;
}

int registry_open(struct registry_set *all, const struct ref *ref,
		  const char *bearer, struct registry **out, struct err *e)
{
	struct weburl url;
	bool is_hub = strcmp(ref->registry, HUB) == 0;
	bool is_plain =
		registry_is_plain(ref->registry, all->settings.insecure);
	auto_free char *text = xasprintf("%s://%s", is_plain ? "http" : "https",
					 is_hub ? HUB_HOST : ref->registry);
	if (weburl_parse(str_of(text), &url, e) || check_bearer(bearer, e))
		return -1;
	trim_target(&url);
	struct registry *r = registry_new(all, ref->registry, ref->repository);
	r->root = xasprintf("/v2/%s/", r->repository);
	if (is_hub)
		add_mirrors(r);
	add(r, &url, r->name, false);
	add_auth(r, bearer);
	*out = r;
	return 0;
}

int registry_open_url(struct registry_set *all, const struct weburl *url,
		      const char *repository, const char *bearer,
		      registry_explain_fn explain, struct registry **out,
		      struct err *e)
{
	struct weburl base = *url;
	char name[WEBURL_HOST_BYTES + 8];
	if (check_bearer(bearer, e))
		return -1;
	trim_target(&base);
	struct registry *r =
		registry_new(all, weburl_place(&base, name), repository);
	r->root = xstrdup("/");
	r->explain = explain;
	r->has_bearer = bearer;
	add(r, &base, "", false);
	add_auth(r, bearer);
	*out = r;
	return 0;
}

void registry_want_push(struct registry *r, char *const *from, size_t n)
{
	char *scopes = xasprintf("repository:%s:pull,push", r->repository);
	r->at = r->n - 1;
	for (size_t i = 0; i < n; i++) {
		char *more =
			xasprintf("%s repository:%s:pull", scopes, from[i]);
		free(scopes);
		scopes = more;
	}
	auth_want(registry_place(r)->auth, scopes);
	free(scopes);
}

struct registry *registry_hold(struct registry *r)
{
	r->uses++;
	return r;
}

void registry_release(struct registry *r)
{
	if (!r || --r->uses)
		return;
	for (size_t i = 0; i < r->n; i++)
		auth_free(r->places[i].auth);
	free(r->places);
	free(r->name);
	free(r->repository);
	free(r->root);
	free(r);
}

struct registry_place *registry_place(struct registry *r)
{
	return &r->places[r->at];
}

bool registry_next(struct registry *r)
{
	if (r->at + 1 >= r->n)
		return false;
	log_warn("registry mirror does not serve, the next is asked host=%s",
		 r->places[r->at].url.host);
	r->at++;
	return true;
}
