#include "io/netaddr.h"

#include <arpa/inet.h>
#include <stdio.h>

static void take_v4(const unsigned char *bytes, struct netaddr *out)
{
	unsigned char v4[4];
	memcpy(v4, bytes, sizeof v4);
	*out = (struct netaddr){ .is_v6 = false };
	memcpy(out->bytes, v4, sizeof v4);
}

static void unwrap(struct netaddr *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b };
	static const unsigned char zeros[12];
	const unsigned char *b = a->bytes;
	bool is_low = b[12] == 0 && b[13] == 0 && b[14] == 0 && b[15] <= 1;
	if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0 ||
	    (memcmp(b, zeros, 12) == 0 && !is_low))
		take_v4(b + 12, a);
	else if (b[0] == 0x20 && b[1] == 0x02) /* 6to4, RFC 3056 */
		take_v4(b + 2, a);
}

bool netaddr_from(const struct sockaddr *sa, struct netaddr *out)
{
	*out = (struct netaddr){ .is_v6 = sa->sa_family == AF_INET6 };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof in);
		memcpy(out->bytes, &in.sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	struct sockaddr_in6 in6;
	memcpy(&in6, sa, sizeof in6);
	memcpy(out->bytes, &in6.sin6_addr, 16);
	unwrap(out);
	return true;
}

bool netaddr_parse(const char *text, struct netaddr *out)
{
	struct in_addr v4;
	char v6[INET6_ADDRSTRLEN];
	size_t n = strlen(text);
	*out = (struct netaddr){ .is_v6 = false };
	if (inet_aton(text, &v4)) {
		memcpy(out->bytes, &v4, 4);
		return true;
	}
	bool in_brackets = text[0] == '[' && n > 2 && text[n - 1] == ']';
	struct str inner = { text, n };
	if (in_brackets)
		inner = (struct str){ text + 1, n - 2 };
	if (inner.n >= sizeof v6)
		return false;
	snprintf(v6, sizeof v6, "%.*s", STR_ARG(inner));
	if (inet_pton(AF_INET6, v6, out->bytes) != 1)
		return false;
	out->is_v6 = true;
	unwrap(out);
	return true;
}

static enum netaddr_kind kind_v4(const unsigned char *b)
{
	if (b[0] == 127 || b[0] == 0)
		return NETADDR_LOOPBACK;
	if (b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
	    (b[0] == 192 && b[1] == 168) ||
	    (b[0] == 100 && (b[1] & 0xc0) == 64))
		return NETADDR_PRIVATE;
	if ((b[0] == 169 && b[1] == 254) || b[0] >= 224)
		return NETADDR_SPECIAL;
	return NETADDR_PUBLIC;
}

enum netaddr_kind netaddr_kind(const struct netaddr *a)
{
	const unsigned char *b = a->bytes;
	if (!a->is_v6)
		return kind_v4(b);
	if ((b[0] & 0xfe) == 0xfc)
		return NETADDR_PRIVATE;
	if (b[0] == 0) /* what is left of 0::/8 is :: and ::1 */
		return NETADDR_LOOPBACK;
	if (b[0] >= 0xfe) /* fe80::/10, fec0::/10, ff00::/8 */
		return NETADDR_SPECIAL;
	return NETADDR_PUBLIC;
}

static bool is_localhost(const struct netaddr *a)
{
	static const unsigned char v4[4] = { 127, 0, 0, 1 };
	static const unsigned char v6[16] = { [15] = 1 };
	return a->is_v6 ? memcmp(a->bytes, v6, 16) == 0
			: memcmp(a->bytes, v4, 4) == 0;
}

bool netaddr_same(const struct netaddr *a, const struct netaddr *b)
{
	if (is_localhost(a) && is_localhost(b))
		return true;
	return a->is_v6 == b->is_v6 &&
	       memcmp(a->bytes, b->bytes, a->is_v6 ? 16 : 4) == 0;
}
