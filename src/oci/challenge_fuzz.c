/* Whatever a registry sends: what is taken can stand in a URL's query or in a
 * header. */
#include "oci/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const char *text)
{
	if (strlen(text) >= LIMIT_CHALLENGE_BYTES)
		abort();
	for (; *text; text++)
		if (*text < ' ' || *text == 127)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct challenge c = { .kind = CHALLENGE_NONE };
	struct challenge_token t;
	struct err e;
	struct str text = { (const char *)p, n };
	challenge_parse(text, &c);
	check(c.realm);
	check(c.service);
	check(c.scope);
	if (c.kind == CHALLENGE_BEARER && !c.realm[0])
		abort();
	if (challenge_parse_token(text, &t, &e) == 0) {
		check(t.text);
		free(t.text);
	}
	return 0;
}
