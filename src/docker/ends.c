#include "docker/ends.h"
#include "docker/setup.h"

#include <arpa/inet.h>
#include <string.h>

static int read4(const char *text, struct ends *out, struct err *e)
{
	if (inet_pton(AF_INET, text, &out->inner) != 1)
		return err_set(e, ERR_USAGE,
			       "address '%s' is no IPv4 address; the usual one "
			       "is 169.254.255.81",
			       text);
	uint32_t a = ntohl(out->inner.s_addr);
	if (a >> 24 == 0 || a >> 24 == 127 || a >> 28 >= 14)
		return err_set(e, ERR_USAGE,
			       "containers cannot reach the address %s; the "
			       "usual one is 169.254.255.81",
			       text);
	out->outer.s_addr = htonl(a ^ 1);
	inet_ntop(AF_INET, &out->inner, out->inner_text,
		  sizeof out->inner_text);
	inet_ntop(AF_INET, &out->outer, out->outer_text,
		  sizeof out->outer_text);
	return 0;
}

static int read6(const char *text, struct ends *out, struct err *e)
{
	if (strcmp(text, "off") == 0)
		return 0;
	if (inet_pton(AF_INET6, text, &out->inner6) != 1)
		return err_set(e, ERR_USAGE,
			       "address6 '%s' is no IPv6 address; write one of "
			       "fd00::/8, or off",
			       text);
	/* fc00::/7: nobody routes it to us from afar. */
	if ((out->inner6.s6_addr[0] & 0xfe) != 0xfc)
		return err_set(e, ERR_USAGE,
			       "address6 %s is not one of fd00::/8, where "
			       "private addresses are",
			       text);
	out->outer6 = out->inner6;
	memset(&out->outer6.s6_addr[8], 0, 7);
	out->outer6.s6_addr[15] = 1;
	if (memcmp(&out->outer6, &out->inner6, sizeof out->inner6) == 0)
		return err_set(e, ERR_USAGE,
			       "address6 %s is what the host's end gets; "
			       "choose another one of its /64",
			       text);
	inet_ntop(AF_INET6, &out->inner6, out->inner6_text,
		  sizeof out->inner6_text);
	inet_ntop(AF_INET6, &out->outer6, out->outer6_text,
		  sizeof out->outer6_text);
	out->has6 = true;
	return 0;
}

int ends_read(const struct setup *s, struct ends *out, struct err *e)
{
	*out = (struct ends){ 0 };
	if (read4(s->address, out, e) || read6(s->address6, out, e))
		return -1;
	return 0;
}

bool ends_is_outer(const struct ends *ends, const struct sockaddr *a)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;
	if (a->sa_family == AF_INET)
		return in->sin_addr.s_addr == ends->outer.s_addr;
	return a->sa_family == AF_INET6 && ends->has6 &&
	       memcmp(&in6->sin6_addr, &ends->outer6, sizeof ends->outer6) == 0;
}
