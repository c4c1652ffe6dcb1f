#include "base/json.h"
#include "base/buf.h"
#include "base/limits.h"

#include <math.h>

int json_parse(struct str text, json_t **out, struct err *e)
{
	json_error_t je;
	/* jansson skips a NUL after a number. */
	if (text.n && memchr(text.p, '\0', text.n))
		return err_set(e, ERR_INVALID,
			       "the JSON is wrong: it has a "
			       "NUL byte in it");
	json_t *j = json_loadb(text.p ? text.p : "", text.n,
			       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!j && json_error_code(&je) == json_error_null_character)
		return err_set(e, ERR_INVALID,
			       "a string at line %d, column %d holds \\u0000, "
			       "which no text has: leave it out",
			       je.line, je.column);
	if (!j)
		return err_set(e, ERR_INVALID,
			       "the JSON is wrong at line %d, column %d: %s",
			       je.line, je.column, je.text);
	*out = j;
	return 0;
}

/* Opening brackets and commas outside of strings. */
static size_t count_marks(struct str text)
{
	size_t n = 0;
	bool is_string = false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '"')
			is_string = !is_string;
		else if (is_string)
			i += c == '\\';
		else
			n += c == '{' || c == '[' || c == ',';
	}
	return n;
}

int json_parse_bounded(struct str text, size_t max, json_t **out, struct err *e)
{
	if (count_marks(text) > max)
		return err_set(e, ERR_TOO_LARGE,
			       "the JSON has more than %zu parts", max);
	return json_parse(text, out, e);
}

struct str json_str(const json_t *j)
{
	return (struct str){ json_string_value(j), json_string_length(j) };
}

static const json_t *member(const json_t *obj, const char *name)
{
	const json_t *j = json_object_get(obj, name);
	return json_is_null(j) ? NULL : j;
}

int json_get_str(const json_t *obj, const char *name, struct str *out,
		 struct err *e)
{
	const json_t *j = member(obj, name);
	if (!j)
		return 0;
	if (!json_is_string(j))
		return err_field(e, name, "'%s' must be a string", name);
	*out = json_str(j);
	return 0;
}

int json_get_bool(const json_t *obj, const char *name, bool *out, struct err *e)
{
	const json_t *j = member(obj, name);
	if (!j)
		return 0;
	if (!json_is_boolean(j))
		return err_field(e, name, "'%s' must be true or false", name);
	*out = json_is_true(j);
	return 0;
}

/* 3.0 is whole too. INT64_MAX is no double, the next one up is 2^63. */
static bool whole(const json_t *j, int64_t *out)
{
	double d = json_real_value(j);
	if (json_is_integer(j))
		*out = json_integer_value(j);
	else if (json_is_real(j) && d == floor(d) && fabs(d) < 0x1p63)
		*out = (int64_t)d;
	else
		return false;
	return true;
}

int json_get_int(const json_t *obj, const char *name, int64_t min, int64_t max,
		 int64_t *out, struct err *e)
{
	const json_t *j = member(obj, name);
	int64_t v;
	if (!j)
		return 0;
	if (!whole(j, &v))
		return err_field(e, name, "'%s' must be a whole number", name);
	if (v < min || v > max)
		return err_field(
			e, name, "'%s' must be from %lld to %lld, not %lld",
			name, (long long)min, (long long)max, (long long)v);
	*out = v;
	return 0;
}

int json_get_num(const json_t *obj, const char *name, double min, double max,
		 double *out, struct err *e)
{
	const json_t *j = member(obj, name);
	if (!j)
		return 0;
	if (!json_is_number(j))
		return err_field(e, name, "'%s' must be a number", name);
	double d = json_number_value(j);
	if (!(d >= min && d <= max))
		return err_field(e, name, "'%s' must be from %g to %g, not %g",
				 name, min, max, d);
	*out = d;
	return 0;
}

char *json_text(const json_t *j)
{
	char *s = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
	return s ? s : xstrdup("null");
}

/* ---- json_scan_...: one pass over the text, a bit per open bracket ---- */

struct scan {
	struct str text;
	size_t at;
	size_t depth;
	bool object[LIMIT_JSON_DEPTH]; /* what each open bracket is */
	const char *want;
	bool wants_true; /* and no string */
	bool is_true;
	char *found; /* owned */
	struct err *e;
};

static int wrong(struct scan *s, const char *what)
{
	return err_set(s->e, ERR_INVALID, "the JSON is wrong at byte %zu: %s",
		       s->at, what);
}

static int peek(struct scan *s)
{
	while (s->at < s->text.n) {
		char c = s->text.p[s->at];
		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return (unsigned char)c;
		s->at++;
	}
	return -1;
}

static int hex4(struct scan *s, unsigned *out)
{
	if (s->text.n - s->at < 4)
		return wrong(s, "a \\u needs four hex digits");
	*out = 0;
	for (int i = 0; i < 4; i++) {
		int digit = str_hex(s->text.p[s->at++]);
		if (digit < 0)
			return wrong(s, "a \\u needs four hex digits");
		*out = *out * 16 + (unsigned)digit;
	}
	return 0;
}

static int put_code_point(struct buf *b, unsigned c)
{
	char u[4];
	size_t n = 0;
	if (c < 0x80) {
		u[n++] = (char)c;
	} else if (c < 0x800) {
		u[n++] = (char)(0xc0 | c >> 6);
		u[n++] = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		u[n++] = (char)(0xe0 | c >> 12);
		u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		u[n++] = (char)(0x80 | (c & 0x3f));
	} else {
		u[n++] = (char)(0xf0 | c >> 18);
		u[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		u[n++] = (char)(0x80 | (c & 0x3f));
	}
	return buf_put(b, u, n);
}

/* What follows a backslash. jansson's rules: no NUL, no lone surrogate. */
static int escape(struct scan *s, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (s->at >= s->text.n)
		return wrong(s, "the text ends in a string");
	char c = s->text.p[s->at++];
	const char *hit = c ? strchr(from, c) : NULL;
	unsigned u, low;
	if (hit)
		return out ? buf_put(out, &to[hit - from], 1) : 0;
	if (c != 'u')
		return wrong(s, "no such escape");
	if (hex4(s, &u))
		return -1;
	if (u >= 0xd800 && u < 0xdc00) {
		if (s->text.n - s->at < 2 || s->text.p[s->at] != '\\' ||
		    s->text.p[s->at + 1] != 'u')
			return wrong(s, "half a surrogate pair");
		s->at += 2;
		if (hex4(s, &low))
			return -1;
		if (low < 0xdc00 || low > 0xdfff)
			return wrong(s, "half a surrogate pair");
		u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
	} else if (u >= 0xdc00 && u < 0xe000) {
		return wrong(s, "half a surrogate pair");
	} else if (u == 0) {
		return err_set(s->e, ERR_INVALID,
			       "the string at byte %zu holds \\u0000, which no "
			       "text has: leave it out",
			       s->at);
	}
	return out ? put_code_point(out, u) : 0;
}

/* A string whose opening quote is next; unescaped into *out unless NULL. */
static int string(struct scan *s, struct buf *out)
{
	s->at++;
	for (;;) {
		size_t from = s->at;
		while (s->at < s->text.n && s->text.p[s->at] != '"' &&
		       s->text.p[s->at] != '\\' &&
		       (unsigned char)s->text.p[s->at] >= 0x20)
			s->at++;
		struct str run = { s->text.p + from, s->at - from };
		if (!str_is_utf8(run))
			return wrong(s, "a string is not UTF-8");
		if (out && buf_put(out, run.p, run.n))
			return wrong(s, "a string is too long");
		if (s->at >= s->text.n)
			return wrong(s, "the text ends in a string");
		char c = s->text.p[s->at];
		if ((unsigned char)c < 0x20)
			return wrong(s, "a control character in a string");
		s->at++;
		if (c == '"')
			return 0;
		if (escape(s, out))
			return -1;
	}
}

static size_t digits(struct scan *s)
{
	size_t from = s->at;
	while (s->at < s->text.n && s->text.p[s->at] >= '0' &&
	       s->text.p[s->at] <= '9')
		s->at++;
	return s->at - from;
}

static bool skip(struct scan *s, const char *any)
{
	if (s->at >= s->text.n || !s->text.p[s->at] ||
	    !strchr(any, s->text.p[s->at]))
		return false;
	s->at++;
	return true;
}

static int number(struct scan *s)
{
	skip(s, "-");
	bool zero = s->at < s->text.n && s->text.p[s->at] == '0';
	size_t n = digits(s);
	if (n == 0 || (zero && n > 1))
		return wrong(s, "not a number");
	if (skip(s, ".") && !digits(s))
		return wrong(s, "not a number");
	if (skip(s, "eE")) {
		skip(s, "+-");
		if (!digits(s))
			return wrong(s, "not a number");
	}
	return 0;
}

static int literal(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_starts(str_tail(s->text, s->at), words[i])) {
			s->at += strlen(words[i]);
			return 0;
		}
	}
	return wrong(s, "a value was expected");
}

/* Go's JSON takes "Model" for "model", and the last of both: who reads after us
 * would find another value than we judged. */
static int check_case(const struct scan *s, struct str key)
{
	if (s->wants_true || !str_eq_nocase(key, s->want))
		return 0;
	return err_field(s->e, s->want, "'%s' must be written so, not '%.*s'",
			 s->want, STR_ARG(key));
}

/* A member's name and its colon; says whether it is the one looked for. */
static int name(struct scan *s, bool *is_wanted)
{
	auto_buf struct buf key;
	buf_init(&key, s->text.n);
	if (peek(s) != '"')
		return wrong(s, "a member name was expected");
	if (string(s, s->depth == 1 ? &key : NULL))
		return -1;
	if (peek(s) != ':')
		return wrong(s, "a ':' was expected");
	s->at++;
	*is_wanted = s->depth == 1 && str_eq(buf_str(&key), s->want);
	return s->depth == 1 && !*is_wanted ? check_case(s, buf_str(&key)) : 0;
}

static int value(struct scan *s);

static int wanted(struct scan *s)
{
	if (s->wants_true) {
		peek(s);
		s->is_true |= str_starts(str_tail(s->text, s->at), "true");
		return value(s);
	}
	auto_buf struct buf text;
	buf_init(&text, s->text.n);
	if (s->found)
		return err_field(s->e, s->want, "'%s' is given twice", s->want);
	if (peek(s) != '"')
		return err_field(s->e, s->want, "'%s' must be a string",
				 s->want);
	if (string(s, &text))
		return -1;
	s->found = buf_take(&text);
	return 0;
}

/* One value, or the opening bracket of one. */
static int value(struct scan *s)
{
	int c = peek(s);
	if (c == '"')
		return string(s, NULL);
	if (c == '-' || (c >= '0' && c <= '9'))
		return number(s);
	if (c != '{' && c != '[')
		return literal(s);
	if (s->depth == LIMIT_JSON_DEPTH)
		return wrong(s, "nested too deeply");
	s->object[s->depth++] = c == '{';
	s->at++;
	return 0;
}

/* After a value: closing brackets, then a comma or the end. */
static int close_brackets(struct scan *s)
{
	while (s->depth) {
		int c = peek(s);
		if (c == ',') {
			s->at++;
			return 0;
		}
		if (c != (s->object[s->depth - 1] ? '}' : ']'))
			return wrong(s, "a ',' or a bracket was expected");
		s->at++;
		s->depth--;
	}
	return 0;
}

static int scan(struct scan *s)
{
	do {
		size_t was = s->depth;
		bool is_wanted = false;
		if (s->depth && s->object[s->depth - 1] && name(s, &is_wanted))
			return -1;
		if (is_wanted ? wanted(s) : value(s))
			return -1;
		bool opened = s->depth > was;
		if (opened) {
			/* Empty brackets close at once, full ones go on. */
			int c = peek(s);
			if (c != (s->object[was] ? '}' : ']'))
				continue;
		}
		if (close_brackets(s))
			return -1;
	} while (s->depth);
	if (peek(s) != -1)
		return wrong(s, "more text after the end");
	return 0;
}

int json_scan_str(struct str text, const char *name, char **out, struct err *e)
{
	struct scan s = { .text = text, .want = name, .e = e };
	if (peek(&s) != '{')
		return wrong(&s, "an object was expected");
	if (scan(&s)) {
		free(s.found);
		return -1;
	}
	if (!s.found)
		return JSON_ABSENT;
	*out = s.found;
	return 0;
}

int json_scan_true(struct str text, const char *name, bool *out, struct err *e)
{
	struct scan s = {
		.text = text, .want = name, .wants_true = true, .e = e
	};
	if (peek(&s) != '{')
		return wrong(&s, "an object was expected");
	if (scan(&s))
		return -1;
	*out = s.is_true;
	return 0;
}
