#include "cli/modelname.h"

#include <strings.h>

static bool drop_prefix(struct str *s, struct str prefix)
{
	if (!prefix.n || s->n < prefix.n || memcmp(s->p, prefix.p, prefix.n))
		return false;
	*s = str_tail(*s, prefix.n);
	return true;
}

/* `registry` and its slash. */
static bool drop_registry(struct str *s, const char *registry)
{
	struct str rest = *s;
	if (!drop_prefix(&rest, str_of(registry)) ||
	    !drop_prefix(&rest, STR("/")))
		return false;
	*s = rest;
	return true;
}

/* A name taken apart: "ai/x:v1" is "x" and "v1". */
struct parts {
	struct str repository; /* without the default registry and "ai/" */
	struct str tag;	       /* without ':'; empty if there is none */
};

static struct parts split(struct str name)
{
	const char *registry = getenv("DEFAULT_REGISTRY");
	struct parts out = { name, { "", 0 } };
	ptrdiff_t colon = str_find_last(name, ':');
	/* A colon before a slash is a registry's port. */
	if (colon >= 0 && str_find(str_tail(name, (size_t)colon), '/') < 0) {
		out.repository = str_head(name, (size_t)colon);
		out.tag = str_tail(name, (size_t)colon + 1);
	}
	if (registry && *registry) {
		drop_registry(&out.repository, registry);
	} else if (!drop_registry(&out.repository, "docker.io")) {
		drop_registry(&out.repository, "index.docker.io");
	}
	drop_prefix(&out.repository, STR("ai/"));
	return out;
}

struct str modelname_short(struct str name)
{
	struct parts p = split(name);
	const char *end = name.p + name.n;
	if (str_eq(p.tag, "latest"))
		return p.repository;
	return (struct str){ p.repository.p, (size_t)(end - p.repository.p) };
}

static struct str without_algorithm(struct str id)
{
	drop_prefix(&id, STR("sha256:"));
	return id;
}

struct str modelname_short_id(struct str id)
{
	return str_head(without_algorithm(id), 12);
}

static bool equal(struct str a, struct str b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

bool modelname_matches(struct str stored, struct str typed)
{
	static const char short_hf[] = "hf.co/", hf[] = "huggingface.co/";
	struct parts have = split(stored), want = split(typed);
	if (str_starts(want.repository, short_hf) &&
	    drop_prefix(&have.repository, STR(hf)))
		want.repository =
			str_tail(want.repository, sizeof short_hf - 1);
	if (!equal(have.repository, want.repository))
		return false;
	if (!want.tag.n)
		return true;
	struct str tag = have.tag.n ? have.tag : STR("latest");
	/* Tags, unlike repositories, keep their case. */
	return tag.n == want.tag.n && !memcmp(tag.p, want.tag.p, tag.n);
}

bool modelname_matches_id(struct str id, struct str typed)
{
	struct str want = without_algorithm(typed);
	struct str have = without_algorithm(id);
	return want.n >= 12 && want.n <= have.n &&
	       memcmp(have.p, want.p, want.n) == 0;
}

static int compare(struct str a, struct str b)
{
	int order = strncasecmp(a.p, b.p, MIN(a.n, b.n));
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

int modelname_compare(struct str a, struct str b)
{
	struct parts x = split(a), y = split(b);
	int order = compare(x.repository, y.repository);
	if (!order)
		order = compare(x.tag, y.tag);
	return order ? order : compare(a, b);
}
