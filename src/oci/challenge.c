#include "oci/challenge.h"
#include "base/json.h"

/* A token that says nothing lives so long (the distribution specification). */
#define DEFAULT_SECONDS 60
#define MAX_SECONDS 86400

static bool is_token_char(unsigned char c)
{
	return c > ' ' && c < 127 && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static struct str skip(struct str s, const char *chars)
{
	while (s.n && s.p[0] && strchr(chars, s.p[0]))
		s = str_tail(s, 1);
	return s;
}

static struct str take_token(struct str *s)
{
	size_t n = 0;
	while (n < s->n && is_token_char((unsigned char)s->p[n]))
		n++;
	struct str token = str_head(*s, n);
	*s = str_tail(*s, n);
	return token;
}

/* Copies a value, quoted or not; false if it does not end, does not fit or has
 * a character that no parameter of ours may have. */
static bool take_value(struct str *s, char out[LIMIT_CHALLENGE_BYTES])
{
	size_t n = 0;
	bool is_quoted = s->n && s->p[0] == '"';
	if (is_quoted)
		*s = str_tail(*s, 1);
	for (;;) {
		if (!s->n || (!is_quoted && strchr(", \t", s->p[0])))
			break;
		unsigned char c = (unsigned char)s->p[0];
		*s = str_tail(*s, 1);
		if (is_quoted && c == '"') {
			is_quoted = false;
			break;
		}
		if (is_quoted && c == '\\' && s->n) {
			c = (unsigned char)s->p[0];
			*s = str_tail(*s, 1);
		}
		if (c < ' ' || c >= 127 || n + 1 >= LIMIT_CHALLENGE_BYTES)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return !is_quoted;
}

static char *member(struct challenge *c, struct str name, char *unused)
{
	if (str_eq_nocase(name, "realm"))
		return c->realm;
	if (str_eq_nocase(name, "service"))
		return c->service;
	if (str_eq_nocase(name, "scope"))
		return c->scope;
	return unused;
}

/* The parameters of one challenge, up to the name of the next. */
static bool take_parameters(struct str *s, struct challenge *c)
{
	char unused[LIMIT_CHALLENGE_BYTES];
	for (;;) {
		struct str at = skip(*s, ", \t"), name = take_token(&at);
		at = skip(at, " \t");
		if (!name.n || !at.n || at.p[0] != '=')
			return true;
		at = skip(str_tail(at, 1), " \t");
		if (!take_value(&at, member(c, name, unused)))
			return false;
		*s = at;
	}
}

void challenge_parse(struct str value, struct challenge *out)
{
	for (;;) {
		struct challenge c = { .kind = CHALLENGE_NONE };
		value = skip(value, ", \t");
		struct str scheme = take_token(&value);
		if (!scheme.n)
			return;
		if (str_eq_nocase(scheme, "Basic"))
			c.kind = CHALLENGE_BASIC;
		if (str_eq_nocase(scheme, "Bearer"))
			c.kind = CHALLENGE_BEARER;
		if (!take_parameters(&value, &c))
			return;
		if (c.kind == CHALLENGE_BEARER && !c.realm[0])
			continue;
		if (c.kind > out->kind)
			*out = c;
	}
}

static bool can_be_sent(struct str token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || (unsigned char)token.p[i] >= 127)
			return false;
	return token.n > 0;
}

int challenge_parse_token(struct str body, struct challenge_token *out,
			  struct err *e)
{
	auto_json *answer = NULL;
	struct str token = { NULL, 0 };
	int64_t seconds = 0;
	struct err unused;
	if (json_parse(body, &answer, &unused) || !json_is_object(answer))
		return err_set(e, ERR_ENGINE, "its answer is no JSON object");
	if (json_get_str(answer, "token", &token, &unused) ||
	    (!token.n &&
	     json_get_str(answer, "access_token", &token, &unused)) ||
	    !can_be_sent(token))
		return err_set(e, ERR_ENGINE, "its answer has no usable token");
	if (json_get_int(answer, "expires_in", 1, INT64_MAX, &seconds,
			 &unused) ||
	    seconds < 1)
		seconds = DEFAULT_SECONDS;
	out->text = str_dup(token);
	out->seconds = (unsigned)MIN(seconds, MAX_SECONDS);
	return 0;
}
