#include "cli/modelname.h"

#include <strings.h>

static const char *default_registry(void)
{
	const char *registry = getenv("DEFAULT_REGISTRY");
	return registry && *registry ? registry : NULL;
}

struct str modelname_short(struct str name)
{
	return ref_familiar(name, default_registry());
}

struct str modelname_short_id(struct str id)
{
	if (str_starts(id, DIGEST_PREFIX))
		id = str_tail(id, sizeof DIGEST_PREFIX - 1);
	return str_head(id, 12);
}

/* Where the tag begins, at its colon; the end if there is none. A colon before
 * a slash is a registry's port. */
static size_t tag_at(struct str name)
{
	ptrdiff_t colon = str_find_last(name, ':');
	if (colon < 0 || str_find(str_tail(name, (size_t)colon), '/') >= 0)
		return name.n;
	return (size_t)colon;
}

bool modelname_matches(struct str stored, struct str typed)
{
	struct ref have, want;
	struct err why; /* what is no name matches nothing */
	if (ref_parse(stored, default_registry(), &have, &why) ||
	    ref_parse(typed, default_registry(), &want, &why))
		return false;
	return want.kind == REF_NAME && !strcmp(have.registry, want.registry) &&
	       !strcmp(have.repository, want.repository) &&
	       (tag_at(typed) == typed.n || !strcmp(have.tag, want.tag));
}

bool modelname_matches_id(struct str id, struct str typed)
{
	struct ref have, want;
	struct err why;
	if (ref_parse(id, NULL, &have, &why) || have.kind != REF_ID ||
	    ref_parse(typed, NULL, &want, &why))
		return false;
	if (want.kind == REF_SHORT_ID)
		return str_starts(str_of(have.digest.hex), want.short_id);
	return want.kind == REF_ID && digest_eq(&have.digest, &want.digest);
}

int modelname_parse(const char *typed, struct ref *out, struct err *e)
{
	if (ref_parse(str_of(typed), default_registry(), out, e))
		return -1;
	if (out->kind == REF_NAME)
		return 0;
	return err_set(e, ERR_INVALID, "'%s' is a model id; a name is needed",
		       typed);
}

static int compare(struct str a, struct str b)
{
	int order = strncasecmp(a.p, b.p, MIN(a.n, b.n));
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

int modelname_compare(struct str a, struct str b)
{
	a = modelname_short(a);
	b = modelname_short(b);
	int order = compare(str_head(a, tag_at(a)), str_head(b, tag_at(b)));
	return order ? order
		     : compare(str_tail(a, tag_at(a)), str_tail(b, tag_at(b)));
}
