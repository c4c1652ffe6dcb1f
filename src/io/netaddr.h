/* netaddr.h - what kind of place an IP address is: whether a stranger may send
 * us there. Pure. */
#pragma once
#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum netaddr_kind {
	NETADDR_PUBLIC,
	NETADDR_PRIVATE,  /* 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7 */
	NETADDR_LOOPBACK, /* 127/8, ::1, and 0.0.0.0 and ::, which mean it */
	NETADDR_SPECIAL,  /* link-local (metadata services), multicast, ... */
};

struct netaddr {
	bool is_v6;
	unsigned char bytes[16]; /* the first 4 for IPv4 */
};

/* An IPv4 address in IPv6's clothes (mapped, NAT64, 6to4) is taken out. false:
 * neither of the two families. */
bool netaddr_from(const struct sockaddr *sa, struct netaddr *out);
/* "10.0.0.1", "[::1]" or "::1", and every other way in which inet_aton(3) lets
 * people write an IPv4 address ("2130706433"). false: a name. */
bool netaddr_parse(const char *text, struct netaddr *out);
enum netaddr_kind netaddr_kind(const struct netaddr *a);
/* 127.0.0.1 and ::1 are one place. */
bool netaddr_same(const struct netaddr *a, const struct netaddr *b);
