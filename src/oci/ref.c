#include "oci/ref.h"

#include <stdio.h>

#define DEFAULT_REGISTRY "docker.io"
#define DEFAULT_ORG "ai/"
#define DEFAULT_TAG "latest"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t alnum_run(struct str s)
{
	size_t n = 0;
	while (n < s.n && is_lower_alnum(s.p[n]))
		n++;
	return n;
}

/* Between letters and digits: ".", "_", "__" or any number of "-". */
static size_t separator_run(struct str s)
{
	char c = s.n ? s.p[0] : '\0';
	size_t most = c == '-' ? s.n : c == '_' ? 2 : c == '.' ? 1 : 0;
	size_t n = 0;
	while (n < s.n && n < most && s.p[n] == c)
		n++;
	return n;
}

static bool is_path_component(struct str s)
{
	for (;;) {
		size_t n = alnum_run(s);
		if (!n)
			return false;
		s = str_tail(s, n);
		if (!s.n)
			return true;
		n = separator_run(s);
		if (!n)
			return false;
		s = str_tail(s, n);
	}
}

static bool is_repository(struct str s)
{
	struct str piece;
	while (str_split(&s, '/', &piece)) {
		if (!is_path_component(piece))
			return false;
	}
	return true;
}

static bool is_host_name(struct str s)
{
	struct str label;
	while (str_split(&s, '.', &label)) {
		for (size_t i = 0; i < label.n; i++) {
			bool inner = i > 0 && i + 1 < label.n;
			if (!is_lower_alnum(label.p[i]) &&
			    !(inner && label.p[i] == '-'))
				return false;
		}
		if (!label.n)
			return false;
	}
	return true;
}

static bool is_ipv6(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		      c == ':'))
			return false;
	}
	return s.n >= 2;
}

static bool is_registry(struct str s)
{
	struct str host = s, port = STR("1");
	uint64_t number;
	if (str_starts(s, "[")) {
		ptrdiff_t end = str_find(s, ']');
		if (end < 0 || !is_ipv6(str_tail(str_head(s, (size_t)end), 1)))
			return false;
		s = str_tail(s, (size_t)end + 1);
		if (!s.n)
			return true;
		if (s.p[0] != ':')
			return false;
		port = str_tail(s, 1);
	} else {
		ptrdiff_t colon = str_find(s, ':');
		if (colon >= 0) {
			host = str_head(s, (size_t)colon);
			port = str_tail(s, (size_t)colon + 1);
		}
		if (!is_host_name(host))
			return false;
	}
	return port.n <= 5 && str_to_u64(port, &number) && number <= 65535;
}

static bool is_tag(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = lower(s.p[i]);
		if (!is_lower_alnum(c) && c != '_' &&
		    (i == 0 || (c != '.' && c != '-')))
			return false;
	}
	return s.n > 0 && s.n < REF_TAG_BYTES;
}

static bool names_registry(struct str component)
{
	return str_find(component, '.') >= 0 || str_find(component, ':') >= 0 ||
	       str_eq_nocase(component, "localhost");
}

/* False if it does not fit, or would be another text with its NUL. */
static bool put_lower(char *out, size_t cap, const char *prefix, struct str s)
{
	size_t n = strlen(prefix);
	if (n + s.n >= cap || str_find(s, '\0') >= 0)
		return false;
	memcpy(out, prefix, n);
	for (size_t i = 0; i < s.n; i++)
		out[n + i] = lower(s.p[i]);
	out[n + s.n] = '\0';
	return true;
}

static int invalid(struct err *e, struct str text, const char *why)
{
	struct str shown = str_head(text, 100);
	return err_set(e, ERR_INVALID, "invalid reference \"%.*s\": %s",
		       STR_ARG(shown), why);
}

/* "[registry/][org/]repository[:tag]" */
static int parse_name(struct str text, const char *default_registry,
		      struct ref *out, struct err *e)
{
	struct str name = text, tag = STR(""), registry = STR("");
	ptrdiff_t slash = str_find_last(name, '/');
	ptrdiff_t colon = str_find_last(name, ':');
	const char *org = "";
	if (colon > slash) {
		tag = str_tail(name, (size_t)colon + 1);
		name = str_head(name, (size_t)colon);
	}
	slash = str_find(name, '/');
	if (slash < 0)
		org = DEFAULT_ORG;
	else if (names_registry(str_head(name, (size_t)slash))) {
		registry = str_head(name, (size_t)slash);
		name = str_tail(name, (size_t)slash + 1);
	}
	if (str_eq_nocase(registry, "index." DEFAULT_REGISTRY))
		registry = STR(DEFAULT_REGISTRY);
	if (str_eq_nocase(registry, "hf.co"))
		registry = STR("huggingface.co");
	if (!registry.n)
		registry = str_of(default_registry);
	if (!tag.n)
		tag = STR(DEFAULT_TAG);
	if (!is_tag(tag))
		return invalid(e, text,
			       "a tag is up to 128 letters, digits, '_', '.' "
			       "and '-', and begins with none of the last two");
	if (!put_lower(out->registry, sizeof out->registry, "", registry) ||
	    !is_registry(str_of(out->registry)))
		return invalid(e, text,
			       "the registry is not HOST or HOST:PORT");
	if (!put_lower(out->repository, sizeof out->repository, org, name) ||
	    strlen(out->registry) + strlen(out->repository) + 1 >=
		    REF_PATH_BYTES)
		return invalid(e, text,
			       "the name has more than 255 bytes or a NUL");
	if (!is_repository(str_of(out->repository)))
		return invalid(e, text,
			       "a name is letters and digits with single '.', "
			       "'_', '-' or '/' between them");
	memcpy(out->tag, tag.p, tag.n);
	return 0;
}

/* Forms without a name; false if the text is none of them. */
static bool parse_id(struct str text, struct ref *out)
{
	struct str hex = text;
	struct digest padded;
	char zeros[65];
	if (str_starts(text, DIGEST_PREFIX))
		hex = str_tail(text, sizeof DIGEST_PREFIX - 1);
	if (digest_parse_hex(hex, &out->digest)) {
		out->kind = REF_ID;
		return true;
	}
	if (text.n != sizeof out->short_id - 1)
		return false;
	memset(zeros, '0', sizeof zeros);
	memcpy(zeros, text.p, text.n);
	if (!digest_parse_hex((struct str){ zeros, 64 }, &padded))
		return false;
	memcpy(out->short_id, text.p, text.n);
	out->kind = REF_SHORT_ID;
	return true;
}

static bool is_of_hub(struct str text)
{
	ptrdiff_t slash = str_find(text, '/');
	struct str registry = str_head(text, slash < 0 ? 0 : (size_t)slash);
	return str_eq_nocase(registry, "hf.co") ||
	       str_eq_nocase(registry, "huggingface.co");
}

/* "hf.co/org/repository@REVISION[:tag]" or "...[:tag]@REVISION": a hub has
 * revisions, and a tag has room for one, but no '@'. */
static int parse_revision(struct str text, size_t at, struct ref *out,
			  struct err *e)
{
	char name[LIMIT_REFERENCE_BYTES + 16];
	struct str left = str_head(text, at), tag = STR(DEFAULT_TAG);
	struct str revision = str_tail(text, at + 1);
	ptrdiff_t colon = str_find_last(left, ':');
	if (colon > str_find_last(left, '/')) {
		tag = str_tail(left, (size_t)colon + 1);
		left = str_head(left, (size_t)colon);
	} else if ((colon = str_find(revision, ':')) >= 0) {
		tag = str_tail(revision, (size_t)colon + 1);
		revision = str_head(revision, (size_t)colon);
	}
	if (!is_tag(revision))
		return invalid(e, text,
			       "a revision is a branch, a tag or a commit, of "
			       "letters, digits, '_', '.' and '-'; of one with "
			       "other characters give the commit");
	if (str_eq(revision, "main"))
		snprintf(name, sizeof name, "%.*s:%.*s", STR_ARG(left),
			 STR_ARG(tag));
	else
		snprintf(name, sizeof name, "%.*s:%.*s--%.*s", STR_ARG(left),
			 STR_ARG(tag), STR_ARG(revision));
	return parse_name(str_of(name), NULL, out, e);
}

int ref_parse(struct str text, const char *default_registry, struct ref *out,
	      struct err *e)
{
	const char *registry =
		default_registry ? default_registry : DEFAULT_REGISTRY;
	*out = (struct ref){ .kind = REF_NAME };
	text = str_trim(text);
	if (!text.n)
		return err_set(e, ERR_INVALID, "the model name is empty");
	if (text.n > LIMIT_REFERENCE_BYTES)
		return err_set(e, ERR_INVALID,
			       "the model name is longer than %d bytes",
			       LIMIT_REFERENCE_BYTES);
	if (parse_id(text, out))
		return 0;
	ptrdiff_t at = str_find(text, '@');
	if (at >= 0) {
		struct err why;
		if (is_of_hub(text) &&
		    !str_starts(str_tail(text, (size_t)at + 1), DIGEST_PREFIX))
			return parse_revision(text, (size_t)at, out, e);
		if (digest_parse(str_tail(text, (size_t)at + 1), &out->digest,
				 &why))
			return invalid(e, text, why.msg);
		out->kind = REF_ID;
		text = str_head(text, (size_t)at);
	}
	return parse_name(text, registry, out, e);
}

const char *ref_text(const struct ref *r, char out[REF_TEXT_BYTES])
{
	snprintf(out, REF_TEXT_BYTES, "%s/%s:%s", r->registry, r->repository,
		 r->tag);
	return out;
}

static struct str without_prefix(struct str s, const char *prefix)
{
	return str_starts(s, prefix) ? str_tail(s, strlen(prefix)) : s;
}

struct str ref_familiar(struct str text, const char *default_registry)
{
	static const char suffix[] = ":" DEFAULT_TAG;
	if (default_registry) {
		struct str rest = without_prefix(text, default_registry);
		if (rest.n < text.n && str_starts(rest, "/"))
			text = str_tail(rest, 1);
	} else {
		text = without_prefix(text, "index.");
		text = without_prefix(text, DEFAULT_REGISTRY "/");
	}
	text = without_prefix(text, DEFAULT_ORG);
	if (str_ends(text, suffix))
		text.n -= sizeof suffix - 1;
	return text;
}
