/* dns.h - `modeld-docker dns`, off by default: a DNS responder for programs
 * that do not read hosts files. It knows one name, whose address it gives, and
 * passes all other questions on as they are. */
#pragma once
#include "base/err.h"

struct setup;

must_use int dns_run(const struct setup *s, struct err *e);
