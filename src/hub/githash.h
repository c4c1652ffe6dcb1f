/* githash.h - the name that git gives to a file: the SHA-1 of its length and
 * bytes. It finds damage; against somebody who wants to deceive, SHA-1 is weak,
 * and large files of a hub have a SHA-256 instead. Pure. */
#pragma once
#include "base/str.h"

struct githash {
	char hex[41]; /* with its NUL; "" is none */
};

struct githash githash_of(struct str bytes);
/* 40 lower-case hex digits. */
bool githash_parse(struct str hex, struct githash *out) must_use;
