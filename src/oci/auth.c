#include "oci/auth.h"
#include "base/buf.h"
#include "base/log.h"
#include "io/timer.h"
#include "oci/credentials.h"
#include "oci/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

struct auth {
	struct auth_config config; /* strings owned */
	char *wanted;		   /* owned; scopes, or NULL */
	char *field;		   /* owned; NULL: nothing yet */
	unsigned number;
	struct challenge challenge; /* being answered */
	struct list waiting;
	struct credentials_query *query;
	bool has_asked; /* for credentials */
	struct credentials credentials;
	/* The token request. */
	struct transfer *transfer;
	struct weburl at;
	bool is_secret; /* it carries credentials */
	int status;
	int hops;
	char *key; /* owned; of the token cache */
	struct buf body;
};

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void set_field(struct auth *a, char *field)
{
	free(a->field);
	a->field = field;
	a->number++;
}

struct auth *auth_new(const struct auth_config *config)
{
	struct auth *a = xcalloc(1, sizeof *a);
	a->config = *config;
	a->config.registry = copy(config->registry);
	a->config.default_registry = copy(config->default_registry);
	a->config.repository = copy(config->repository);
	a->config.bearer = copy(config->bearer);
	list_init(&a->waiting);
	buf_init(&a->body, LIMIT_TOKEN_BYTES);
	if (config->bearer)
		set_field(a, xasprintf("Authorization: Bearer %s",
				       config->bearer));
	return a;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	if (a->query)
		credentials_cancel(a->query);
	if (a->transfer)
		transfer_cancel(a->transfer);
	credentials_fini(&a->credentials);
	buf_fini(&a->body);
	free((char *)a->config.registry);
	free((char *)a->config.default_registry);
	free((char *)a->config.repository);
	free((char *)a->config.bearer);
	free(a->wanted);
	free(a->field);
	free(a->key);
	free(a);
}

void auth_want(struct auth *a, const char *scopes)
{
	free(a->wanted);
	a->wanted = xstrdup(scopes);
}

const char *auth_field(const struct auth *a, unsigned *number)
{
	*number = a->number;
	return a->field;
}

/* Tells everyone who waits; one that is told may leave, or free the others. */
static void settle(struct auth *a, int outcome, const struct err *e)
{
	struct list told;
	struct list *link;
	list_init(&told);
	while ((link = list_pop_front(&a->waiting)))
		list_push_back(&told, link);
	while ((link = list_pop_front(&told))) {
		struct auth_wait *w =
			container_of(link, struct auth_wait, link);
		w->fn(w->ctx, outcome, e);
	}
}

void auth_leave(struct auth_wait *w)
{
	list_remove(&w->link);
}

static void fail(struct auth *a, enum err_code code, const char *why)
{
	struct err e;
	err_set(&e, code, "%s", why);
	settle(a, -1, &e);
}

static int want_login(const struct auth *a, const char *what, struct err *e)
{
	return err_set(e, ERR_AUTH,
		       "%s %s for %s; 'docker login %s' stores credentials",
		       a->config.registry, what, a->config.repository,
		       strcmp(a->config.registry, "docker.io") == 0
			       ? ""
			       : a->config.registry);
}

/* ---- the token server ---- */

static void ask_token(struct auth *a);

static bool allows(void *ctx, const struct netaddr *addr)
{
	struct auth *a = ctx;
	return reach_allows(a->config.reach, a->at.host, false, addr);
}

static void on_head(void *ctx, int status)
{
	struct auth *a = ctx;
	a->status = status;
	buf_clear(&a->body);
}

static int on_body(void *ctx, struct str piece)
{
	struct auth *a = ctx;
	if (buf_put(&a->body, piece.p, piece.n)) {
		transfer_cancel(steal(&a->transfer));
		fail(a, ERR_ENGINE, "the token server's answer is too large");
	}
	return 0;
}

static void take_token(struct auth *a)
{
	struct challenge_token token;
	struct err e;
	if (challenge_parse_token(buf_str(&a->body), &token, &e)) {
		err_wrap(&e, "token server %s", a->at.host);
		settle(a, -1, &e);
		return;
	}
	uint64_t now = timer_now_ms(a->config.loop);
	/* Not to be caught by its end in the middle of a request. */
	uint64_t ms = token.seconds * 1000ull * 9 / 10;
	tokencache_put(a->config.tokens, a->key, token.text, now + ms);
	set_field(a, xasprintf("Authorization: Bearer %s", token.text));
	free(token.text);
	settle(a, 0, NULL);
}

static int follow(struct auth *a, struct str location, struct err *e)
{
	struct weburl to;
	if (++a->hops > LIMIT_REDIRECTS)
		return err_set(e, ERR_ENGINE, "more than %d redirects",
			       LIMIT_REDIRECTS);
	if (weburl_resolve(&a->at, location, &to, e) ||
	    reach_check(a->config.reach, &a->at, &to, e))
		return -1;
	if (a->is_secret && !weburl_same_origin(&a->at, &to))
		return err_set(e, ERR_FORBIDDEN,
			       "it redirects to %s, where the credentials are "
			       "not meant for",
			       to.host);
	a->at = to;
	return 0;
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct auth *a = ctx;
	struct err why;
	struct str location = { NULL, 0 };
	if (outcome == 0 && a->status / 100 == 3)
		location = transfer_field(a->transfer, "Location", 0);
	a->transfer = NULL;
	if (outcome) {
		why = *e;
	} else if (location.p) {
		if (follow(a, location, &why) == 0) {
			ask_token(a);
			return;
		}
	} else if (a->status == 200) {
		take_token(a);
		return;
	} else if (a->status == 401 || a->status == 403 ||
		   (a->status == 400 && a->is_secret)) {
		want_login(a,
			   a->is_secret ? "does not accept the credentials"
					: "wants credentials",
			   &why);
		settle(a, -1, &why);
		return;
	} else {
		err_set(&why,
			a->status >= 500 || a->status == 429 ? ERR_UNAVAILABLE
							     : ERR_SYSTEM,
			"it answers %d", a->status);
	}
	err_wrap(&why, "token server %s", a->at.host);
	settle(a, -1, &why);
}

static const struct transfer_fns token_fns = {
	.allows = allows,
	.on_head = on_head,
	.on_body = on_body,
	.on_end = on_end,
};

static int put_escaped(struct buf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool is_plain = (c >= 'a' && c <= 'z') ||
				(c >= 'A' && c <= 'Z') ||
				(c >= '0' && c <= '9') || strchr("-._~", c);
		if (is_plain ? buf_put(b, text, 1) : buf_printf(b, "%%%02X", c))
			return BUF_FULL;
	}
	return 0;
}

static int put_pair(struct buf *b, const char *name, const char *value)
{
	if (!value || !value[0])
		return 0;
	return buf_printf(b, "%s%s=", b->n ? "&" : "", name) ||
	       put_escaped(b, value);
}

/* Separated by spaces. The caller frees it. */
static char *scopes_of(const struct auth *a)
{
	struct str rest = str_of(a->challenge.scope), one;
	auto_free char *own = xasprintf("repository:%s:", a->config.repository);
	if (!a->wanted)
		return rest.n ? xstrdup(rest.p) : xasprintf("%spull", own);
	char *all = xstrdup(a->wanted);
	while (rest.n && str_split(&rest, ' ', &one)) {
		/* What is wanted holds all of it, and more. */
		if (!one.n || str_starts(one, own))
			continue;
		char *more = xasprintf("%s %.*s", all, STR_ARG(one));
		free(all);
		all = more;
	}
	return all;
}

static int put_scopes(struct buf *form, const char *scopes)
{
	struct str rest = str_of(scopes), one;
	while (rest.n && str_split(&rest, ' ', &one)) {
		auto_free char *text = str_dup(one);
		if (put_pair(form, "scope", text))
			return BUF_FULL;
	}
	return 0;
}

static char *basic(const struct credentials *c)
{
	auto_free char *plain = xasprintf("%s:%s", c->user, c->secret);
	size_t n = strlen(plain);
	auto_free unsigned char *text = xcalloc(n * 4 / 3 + 8, 1);
	EVP_EncodeBlock(text, (const unsigned char *)plain, (int)n);
	return xasprintf("Authorization: Basic %s", text);
}

/* GET realm?service=..&scope=.., with Basic if we have a password; with a
 * refresh token it is a POST (OAuth 2). */
static void ask_token(struct auth *a)
{
	struct err e;
	const struct credentials *c = &a->credentials;
	auto_free char *scopes = scopes_of(a);
	auto_buf struct buf form;
	auto_free char *login = c->identity || !c->user ? NULL : basic(c);
	const char *fields[2];
	size_t n = 0;
	buf_init(&form, LIMIT_TARGET_BYTES);
	int full = put_pair(&form, "service", a->challenge.service) ||
		   (c->identity ? put_pair(&form, "scope", scopes)
				: put_scopes(&form, scopes));
	struct weburl url = a->at;
	if (c->identity) {
		full = full || put_pair(&form, "grant_type", "refresh_token") ||
		       put_pair(&form, "client_id", "modeld") ||
		       put_pair(&form, "refresh_token", c->identity);
		fields[n++] = "Content-Type: application/x-www-form-urlencoded";
	} else if (a->hops == 0) {
		size_t used = strlen(url.target);
		full = full || used + form.n + 2 > sizeof url.target;
		if (!full)
			snprintf(url.target + used, sizeof url.target - used,
				 "%c%s", strchr(url.target, '?') ? '&' : '?',
				 form.p);
	}
	if (login)
		fields[n++] = login;
	if (full) {
		fail(a, ERR_ENGINE, "the registry's challenge is too long");
		return;
	}
	a->transfer = transfer_start(
		a->config.transfers,
		&(struct transfer_request){
			.method = c->identity ? "POST" : "GET",
			.url = &url,
			.fields = fields,
			.n_fields = n,
			.body = c->identity ? buf_str(&form) : STR(""),
			.limit_ms = LIMIT_DOCUMENT_MS },
		&token_fns, a, &e);
	if (!a->transfer)
		settle(a, -1, &e);
}

static int begin_token(struct auth *a, struct err *e)
{
	const struct credentials *c = &a->credentials;
	if (weburl_parse(str_of(a->challenge.realm), &a->at, e))
		return err_wrap(e, "the token realm of %s", a->config.registry);
	if (reach_check(a->config.reach, a->config.url, &a->at, e))
		return -1;
	a->is_secret = c->identity || c->user;
	if (a->is_secret && !a->at.is_https &&
	    strcmp(a->at.host, a->config.url->host) != 0)
		return err_set(e, ERR_FORBIDDEN,
			       "%s wants the credentials sent to %s in clear, "
			       "which is not done",
			       a->config.registry, a->at.host);
	/* Who asks is part of it, but no secret stays in a key. */
	auto_free char *who = xasprintf("%s\n%s\n%s", c->user ? c->user : "",
					c->secret ? c->secret : "",
					c->identity ? c->identity : "");
	struct digest id = digest_of(str_of(who));
	auto_free char *scopes = scopes_of(a);
	free(a->key);
	a->key = xasprintf("%s:%u\n%s\n%s\n%s", a->config.url->host,
			   (unsigned)a->config.url->port, a->challenge.service,
			   scopes, id.hex);
	return 0;
}

/* ---- the answer ---- */

static void answer_bearer(struct auth *a)
{
	struct err e;
	const char *had = a->field;
	if (begin_token(a, &e)) {
		settle(a, -1, &e);
		return;
	}
	const char *kept = tokencache_find(a->config.tokens, a->key,
					   timer_now_ms(a->config.loop));
	auto_free char *field =
		kept ? xasprintf("Authorization: Bearer %s", kept) : NULL;
	if (field && (!had || strcmp(had, field) != 0)) {
		set_field(a, steal(&field));
		settle(a, 0, NULL);
		return;
	}
	tokencache_drop(a->config.tokens, a->key); /* it was refused just now */
	a->hops = 0;
	ask_token(a);
}

static void answer(struct auth *a)
{
	struct err e;
	if (a->challenge.kind == CHALLENGE_BEARER) {
		answer_bearer(a);
		return;
	}
	if (!a->credentials.user || a->field) {
		want_login(a,
			   a->field ? "does not accept the credentials"
				    : "wants credentials",
			   &e);
		settle(a, -1, &e);
		return;
	}
	set_field(a, basic(&a->credentials));
	settle(a, 0, NULL);
}

static void on_credentials(void *ctx, struct credentials *c)
{
	struct auth *a = ctx;
	a->query = NULL;
	a->has_asked = true;
	a->credentials = *c;
	*c = (struct credentials){ 0 };
	answer(a);
}

int auth_answer(struct auth *a, const struct challenge *c, unsigned number,
		struct auth_wait *w, struct err *e)
{
	if (number != a->number)
		return AUTH_NOW;
	if (a->config.bearer)
		return err_set(e, ERR_AUTH,
			       "%s does not accept the bearer token for %s",
			       a->config.registry, a->config.repository);
	if (c->kind == CHALLENGE_NONE)
		return want_login(a, "refuses without saying what it wants", e);
	/* Those who began what is under way may all have left. */
	bool is_busy = !list_is_empty(&a->waiting) || a->query || a->transfer;
	list_push_back(&a->waiting, &w->link);
	if (is_busy)
		return 0;
	a->challenge = *c;
	if (a->has_asked)
		answer(a);
	else
		a->query = credentials_find(a->config.loop, a->config.registry,
					    a->config.default_registry,
					    on_credentials, a);
	return 0;
}
