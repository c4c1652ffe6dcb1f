#include "api/allowed.h"
#include "api/keys.h"

#include <stdio.h>

struct allowed allowed_by(const struct api *api, const struct key *k)
{
	return (struct allowed){ k ? keys_what(k)->models : NULL,
				 catalog_registry(api->catalog) };
}

struct allowed allowed_copy(const struct allowed *from, struct arena *a)
{
	struct allowed to = { NULL, from->registry };
	size_t n = 0;
	if (!from->patterns)
		return to;
	while (from->patterns[n])
		n++;
	to.patterns = arena_alloc(a, (n + 1) * sizeof *to.patterns);
	for (size_t i = 0; i < n; i++)
		to.patterns[i] = arena_str(a, str_of(from->patterns[i]));
	return to;
}

/* '*' is any text, also with slashes. */
static bool fits(const char *p, struct str s)
{
	const char *star = NULL;
	size_t at = 0, back = 0;
	while (at < s.n) {
		if (*p == '*') {
			star = p++;
			back = at;
		} else if (*p == s.p[at]) {
			p++;
			at++;
		} else if (star) {
			p = star + 1;
			at = ++back;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return !*p;
}

static bool fits_tagged(const char *p, struct str name)
{
	ptrdiff_t colon = str_find_last(name, ':');
	return fits(p, name) || (colon > str_find_last(name, '/') &&
				 fits(p, str_head(name, (size_t)colon)));
}

/* Does it begin with a registry? (As ref.h tells them from repositories.) */
static bool has_registry(struct str name)
{
	ptrdiff_t slash = str_find(name, '/');
	struct str first = str_head(name, (size_t)MAX(slash, 0));
	return str_find(first, '.') >= 0 || str_find(first, ':') >= 0 ||
	       str_eq(first, "localhost");
}

/* A pattern with a registry is for whole names, one with a slash for those of
 * the default registry, one without for those of its "ai/": so that "d*" does
 * not mean all of docker.io. */
static bool means(const char *pattern, const char *registry, struct str name)
{
	size_t n = strlen(registry);
	struct str p = str_of(pattern);
	if (str_eq(p, "*"))
		return true;
	if (str_starts(p, "hf.co/")) /* the one registry with a short name */
		return str_starts(name, "huggingface.co/") &&
		       fits_tagged(pattern + 6, str_tail(name, 15));
	if (has_registry(p))
		return fits_tagged(pattern, name);
	if (str_starts(name, registry) && n < name.n && name.p[n] == '/')
		name = str_tail(name, n + 1);
	else if (has_registry(name))
		return false;
	if (str_find(p, '/') >= 0)
		return fits_tagged(pattern, name);
	if (str_starts(name, "ai/"))
		name = str_tail(name, 3);
	return str_find(name, '/') < 0 && fits_tagged(pattern, name);
}

static bool one_means(const struct allowed *by, struct str name)
{
	for (char **p = by->patterns; *p; p++)
		if (means(*p, by->registry, name))
			return true;
	return false;
}

bool allowed_model(const struct allowed *by, const struct catalog_model *m)
{
	if (!by->patterns)
		return true;
	for (size_t i = 0; i < m->n_tags; i++)
		if (one_means(by, str_of(m->tags[i])))
			return true;
	for (char **p = by->patterns; !m->n_tags && *p; p++)
		if (strcmp(*p, "*") == 0)
			return true;
	return false;
}

bool allowed_tag(const struct allowed *by, const char *tag)
{
	return !by->patterns || one_means(by, str_of(tag));
}

bool allowed_tags(const struct allowed *by, const struct catalog_model *m)
{
	size_t n = 0;
	while (n < m->n_tags && allowed_tag(by, m->tags[n]))
		n++;
	return n == m->n_tags;
}

bool allowed_name(const struct allowed *by, struct str name)
{
	struct ref ref;
	struct err e;
	char text[REF_TEXT_BYTES];
	if (!by->patterns || one_means(by, name))
		return true;
	return ref_parse(name, by->registry, &ref, &e) == 0 &&
	       ref.kind == REF_NAME &&
	       one_means(by, str_of(ref_text(&ref, text)));
}

static int refuse(const struct key *k, struct str name, struct err *e)
{
	char list[256] = "";
	size_t at = 0;
	for (char **m = keys_what(k)->models; *m && at < sizeof list; m++)
		at += (size_t)snprintf(list + at, sizeof list - at, "%s%s",
				       at ? ", " : "", *m);
	err_field(e, "model",
		  "the API key '%s' may not use the model '%.*s'; it may use "
		  "%s",
		  keys_what(k)->name, STR_ARG(str_head(name, 80)), list);
	e->code = ERR_FORBIDDEN;
	return -1;
}

int allowed_all(const struct http_exchange *x, struct err *e)
{
	const struct key *k = api_key(x);
	if (!k || !keys_what(k)->models)
		return 0;
	return err_set(e, ERR_FORBIDDEN,
		       "the API key '%s' is for some models, and this is about "
		       "all of them",
		       keys_what(k)->name);
}

int allowed_check(struct api *api, struct http_exchange *x, struct str name,
		  const struct catalog_model *m, struct err *e)
{
	const struct key *k = api_key(x);
	struct allowed by = allowed_by(api, k);
	if (m ? allowed_model(&by, m) : allowed_name(&by, name))
		return 0;
	return refuse(k, name, e);
}

int allowed_find(struct api *api, struct http_exchange *x, struct str name,
		 const struct catalog_model **out, struct err *e)
{
	int got = catalog_find(api->catalog, name, CATALOG_STRICT,
			       exchange_arena(x), out, e);
	if (got >= 0 && allowed_check(api, x, name, got == 0 ? *out : NULL, e))
		return -1;
	if (got != CATALOG_ABSENT)
		return got;
	return err_set(e, ERR_NOT_FOUND,
		       "get model '\"%.*s\"': model not found",
		       STR_ARG(str_head(name, 200)));
}
