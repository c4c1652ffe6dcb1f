/* challenge.h - what a registry asks for: WWW-Authenticate, taken apart
 * (RFC 9110, section 11.6.1), and what a token server answers. Hostile bytes;
 * pure. */
#pragma once
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_kind kind;
	/* Of Bearer; "" where it does not say. Printable ASCII. */
	char realm[LIMIT_CHALLENGE_BYTES];
	char service[LIMIT_CHALLENGE_BYTES];
	char scope[LIMIT_CHALLENGE_BYTES];
};

/* One field's value, which may hold several challenges. Bearer wins over Basic;
 * what is already in *out stays if this has nothing better. What cannot be read
 * counts as not there. */
void challenge_parse(struct str value, struct challenge *out);

struct challenge_token {
	char *text; /* owned */
	unsigned seconds;
};
/* The JSON of a token server. Fails with ERR_ENGINE on what could not stand in
 * a header. */
must_use int challenge_parse_token(struct str body, struct challenge_token *out,
				   struct err *e);
