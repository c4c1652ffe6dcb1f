/* ends.h - the two ends of the cable that containers reach modeld by.
 *
 * The inner end is modeld's address, in a network namespace of its own; the
 * outer end is the host's, the other half of the /31. For IPv6 the outer end is
 * the first address of the inner one's /64. */
#pragma once
#include "base/err.h"

#include <netinet/in.h>

#define ENDS_PREFIX 31
#define ENDS_PREFIX6 64
#define ENDS_PORT 80

struct setup;

struct ends {
	struct in_addr inner, outer;
	struct in6_addr inner6, outer6;
	bool has6;
	/* The same as text. */
	char inner_text[INET_ADDRSTRLEN], outer_text[INET_ADDRSTRLEN];
	char inner6_text[INET6_ADDRSTRLEN], outer6_text[INET6_ADDRSTRLEN];
};

/* From the settings address and address6; -1 says which of them is wrong. */
must_use int ends_read(const struct setup *s, struct ends *out, struct err *e);
/* Is this the address of the outer end, as the inner end sees it? */
bool ends_is_outer(const struct ends *ends, const struct sockaddr *a);
