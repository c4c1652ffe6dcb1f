#include "hub/listing.h"
#include "base/json.h"

#include <stdio.h>
#include <time.h>

void listing_init(struct listing *l)
{
	*l = (struct listing){ 0 };
	arena_init(&l->arena);
}

void listing_fini(struct listing *l)
{
	arena_fini(&l->arena);
	free(l->all);
}

/* ---- a revision ---- */

static bool is_repository(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool is_alnum = (c >= '0' && c <= '9') ||
				((c | 32) >= 'a' && (c | 32) <= 'z');
		if (!is_alnum && c != '-' && c != '_' && c != '.' && c != '/')
			return false;
	}
	return s.n && s.n < LIMIT_REFERENCE_BYTES && s.p[0] != '/' &&
	       s.p[0] != '.';
}

/* "2026-01-02T03:04:05.000Z", without the fraction. */
static void read_time(struct str text, char out[21])
{
	struct tm tm = { 0 };
	char copy[20];
	out[0] = '\0';
	snprintf(copy, sizeof copy, "%.*s", STR_ARG(str_head(text, 19)));
	const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
	if (text.n >= 20 && end && !*end && str_ends(text, "Z") &&
	    tm.tm_year >= 70 && tm.tm_year < 8100)
		strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* 0 and NULL if it is not there. */
static int find_str(struct str text, const char *name, char **out,
		    struct err *e)
{
	*out = NULL;
	return json_scan_str(text, name, out, e) < 0 ? -1 : 0;
}

int listing_parse_revision(struct str text, struct listing_revision *out,
			   struct err *e)
{
	auto_free char *sha = NULL, *id = NULL, *time = NULL;
	*out = (struct listing_revision){ 0 };
	if (find_str(text, "sha", &sha, e) || find_str(text, "id", &id, e) ||
	    find_str(text, "lastModified", &time, e)) {
		e->code = ERR_CORRUPT;
		return err_wrap(e, "the hub's answer is no description of a "
				   "repository");
	}
	if (!sha || !githash_parse(str_of(sha), &out->commit))
		return err_set(e, ERR_CORRUPT,
			       "the hub does not say which commit it is");
	if (id && is_repository(str_of(id)))
		snprintf(out->repository, sizeof out->repository, "%s", id);
	if (time)
		read_time(str_of(time), out->changed);
	return 0;
}

/* ---- one file ---- */

/* Control characters are refused for whoever prints the name, a backslash for
 * those systems where it is a '/'. */
static bool is_path(struct str s)
{
	struct str rest = s, part;
	if (!s.n || s.n > LIMIT_HUB_PATH_BYTES || !str_is_utf8(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127 ||
		    s.p[i] == '\\')
			return false;
	if (s.p[s.n - 1] == '/')
		return false;
	while (str_split(&rest, '/', &part))
		if (!part.n || str_eq(part, ".") || str_eq(part, ".."))
			return false;
	return true;
}

static bool ends(struct str s, const char *end)
{
	size_t n = strlen(end);
	return s.n >= n && str_eq_nocase(str_tail(s, s.n - n), end);
}

/* May a model be made of it? */
static bool is_wanted(struct str path)
{
	static const char *const endings[] = { ".gguf",	 ".safetensors",
					       ".jinja", ".json",
					       ".txt",	 ".md",
					       ".vocab", "tokenizer.model" };
	struct str rest = path, part;
	while (str_split(&rest, '/', &part))
		if (str_starts(part, "."))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (ends(path, endings[i]))
			return true;
	return false;
}

static struct listing_file *append(struct listing *l)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->all = xrealloc(l->all, l->cap * sizeof *l->all);
	}
	struct listing_file *f = &l->all[l->n++];
	*f = (struct listing_file){ 0 };
	return f;
}

static int lies(struct str path, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the hub lists %.*s %s",
		       STR_ARG(str_head(path, 80)), what);
}

static int read_hashes(const json_t *entry, struct str path,
		       struct listing_file *f, struct err *e)
{
	const json_t *lfs = json_object_get(entry, "lfs");
	struct str oid = STR("");
	int64_t bytes = (int64_t)f->bytes;
	if (!lfs || json_is_null(lfs)) {
		if (json_get_str(entry, "oid", &oid, e) ||
		    !githash_parse(oid, &f->git))
			return lies(path, "without a hash", e);
		return 0;
	}
	if (!json_is_object(lfs) || json_get_str(lfs, "oid", &oid, e) ||
	    !digest_parse_hex(oid, &f->sha256))
		return lies(path, "without a SHA-256", e);
	if (json_get_int(lfs, "size", 0, (int64_t)LIMIT_BLOB_BYTES, &bytes, e))
		return lies(path, "with a size that no file has", e);
	f->bytes = (uint64_t)bytes;
	return 0;
}

static int read_entry(struct listing *l, const json_t *entry, struct err *e)
{
	struct str type = STR(""), path = STR("");
	int64_t bytes = -1;
	if (!json_is_object(entry) || json_get_str(entry, "type", &type, e) ||
	    json_get_str(entry, "path", &path, e))
		return err_set(e, ERR_CORRUPT,
			       "the hub's list of files has an entry that is "
			       "none");
	if (!is_path(path))
		return err_set(e, ERR_CORRUPT,
			       "the hub lists a file under a name that no file "
			       "of a repository has");
	if (!str_eq(type, "file") || !is_wanted(path))
		return 0;
	if (json_get_int(entry, "size", 0, (int64_t)LIMIT_BLOB_BYTES, &bytes,
			 e) ||
	    bytes < 0)
		return lies(path, "with a size that no file has", e);
	if (l->n == LIMIT_HUB_FILES)
		return err_set(e, ERR_UNSUPPORTED,
			       "the repository has more than %d files that a "
			       "model may be made of",
			       LIMIT_HUB_FILES);
	struct listing_file *f = append(l);
	f->bytes = (uint64_t)bytes;
	f->path = arena_str(&l->arena, path);
	return read_hashes(entry, path, f, e);
}

/* ---- pages ---- */

/* How long the value at the beginning is: up to a ',' or ']' outside of it.
 * What is wrong inside, the parser says. */
static size_t value_length(struct str s)
{
	size_t depth = 0;
	bool is_string = false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (is_string) {
			i += c == '\\';
			is_string = c != '"';
		} else if (c == '"') {
			is_string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (depth == 0 && (c == ',' || c == ']')) {
			return i;
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return s.n;
}

static struct str skip_space(struct str s)
{
	while (s.n && strchr(" \t\r\n", s.p[0]) && s.p[0])
		s = str_tail(s, 1);
	return s;
}

static int is_no_list(struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the hub's answer is no list of files");
}

/* Entry by entry, so that no page makes a tree of a hundred times its size. */
int listing_add(struct listing *l, struct str page, struct err *e)
{
	struct str rest = skip_space(page);
	if (!rest.n || rest.p[0] != '[')
		return is_no_list(e);
	rest = skip_space(str_tail(rest, 1));
	bool is_first = true;
	while (rest.n && (rest.p[0] != ']' || !is_first)) {
		auto_json *entry = NULL;
		size_t n = value_length(rest);
		if (n > LIMIT_HUB_ENTRY_BYTES ||
		    json_parse(str_head(rest, n), &entry, e))
			return is_no_list(e);
		if (read_entry(l, entry, e))
			return -1;
		l->n_seen++;
		is_first = false;
		rest = str_tail(rest, n);
		if (!rest.n || rest.p[0] == ']')
			break;
		rest = str_tail(rest, 1);
	}
	if (!rest.n || skip_space(str_tail(rest, 1)).n)
		return is_no_list(e);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct listing_file *x = a, *y = b;
	return strcmp(x->path, y->path);
}

int listing_end(struct listing *l, struct err *e)
{
	if (l->n)
		qsort(l->all, l->n, sizeof *l->all, by_path);
	for (size_t i = 1; i < l->n; i++)
		if (strcmp(l->all[i - 1].path, l->all[i].path) == 0)
			return lies(str_of(l->all[i].path), "twice", e);
	return 0;
}

/* <https://host/path?query>; rel="next", <...>; rel="last" */
bool listing_next(struct str link, struct str *out)
{
	while (link.n) {
		ptrdiff_t open = str_find(link, '<');
		if (open < 0)
			return false;
		link = str_tail(link, (size_t)open + 1);
		ptrdiff_t close = str_find(link, '>');
		if (close < 0)
			return false;
		struct str target = str_head(link, (size_t)close);
		link = str_tail(link, (size_t)close + 1);
		ptrdiff_t end = str_find(link, '<');
		struct str rest = end < 0 ? link : str_head(link, (size_t)end);
		struct str part;
		while (str_split(&rest, ';', &part)) {
			part = str_trim(part);
			if (str_ends(part, ","))
				part = str_trim(str_head(part, part.n - 1));
			if (str_eq_nocase(part, "rel=\"next\"") ||
			    str_eq_nocase(part, "rel=next")) {
				*out = target;
				return true;
			}
		}
	}
	return false;
}

char *listing_escape(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~/";
	char *out = xcalloc(3 * strlen(path) + 1, 1);
	char *to = out;
	for (const char *p = path; *p; p++) {
		if (strchr(plain, *p))
			*to++ = *p;
		else
			to += snprintf(to, 4, "%%%02X", (unsigned char)*p);
	}
	return out;
}
