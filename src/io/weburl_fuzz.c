/* A URL that is taken says the same when it is read again, and nothing in it
 * can break a request line. */
#include "io/proxyenv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const struct weburl *u)
{
	static struct weburl again;
	static char text[WEBURL_TEXT_BYTES], text2[WEBURL_TEXT_BYTES];
	struct err e;
	weburl_text(u, text);
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c == 127 || *c == '@' || *c == '\\') {
			const char *slash = strchr(text + 8, '/');
			if (*c != '@' || c < slash)
				abort();
		}
	if (weburl_parse(str_of(text), &again, &e) ||
	    strcmp(text, weburl_text(&again, text2)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct weburl base, u;
	struct err e;
	struct str text = { (const char *)p, n };
	if (weburl_parse(STR("https://h/x/y?q"), &base, &e))
		abort();
	if (weburl_parse(text, &u, &e) == 0)
		check(&u);
	if (weburl_resolve(&base, text, &u, &e) == 0)
		check(&u);
	proxyenv_excludes(text, &base);
	return 0;
}
