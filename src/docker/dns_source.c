#include "docker/dns_source.h"
#include "base/base.h"

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long the list of interfaces is good for a source that it knows, and for
 * one that it does not. */
#define KNOWN_MS 5000
#define UNKNOWN_MS 200
#define BRIDGE_LENGTH 15 /* br-0123456789ab */

struct bits {
	uint8_t b[16];
	size_t n;
};

static bool read_bits(const struct sockaddr *a, struct bits *out)
{
	if (!a || (a->sa_family != AF_INET && a->sa_family != AF_INET6))
		return false;
	out->n = a->sa_family == AF_INET ? 4 : 16;
	memcpy(out->b,
	       out->n == 4
		       ? (const void *)&(
				 (const struct sockaddr_in *)(const void *)a)
				 ->sin_addr
		       : (const void *)&(
				 (const struct sockaddr_in6 *)(const void *)a)
				 ->sin6_addr,
	       out->n);
	return true;
}

/* A bridge of Docker's, and not one that a cable to other machines hangs on.
 * That it is a bridge the kernel says, also where /sys is not of this
 * namespace. */
static bool is_bridge(const char *name)
{
	if (strcmp(name, "docker0") != 0 &&
	    strcmp(name, "docker_gwbridge") != 0 &&
	    (strncmp(name, "br-", 3) != 0 || strlen(name) != BRIDGE_LENGTH))
		return false;
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq r = { .ifr_data = (void *)&info };
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0 &&
	       strcmp(info.driver, "bridge") == 0;
}

static bool fits(const struct ifaddrs *i, const struct bits *from)
{
	struct bits own, mask;
	if (!read_bits(i->ifa_addr, &own) || own.n != from->n)
		return false;
	if (memcmp(own.b, from->b, own.n) == 0)
		return true;
	if (!read_bits(i->ifa_netmask, &mask) || mask.n != own.n)
		return false;
	for (size_t k = 0; k < own.n; k++)
		if ((own.b[k] ^ from->b[k]) & mask.b[k])
			return false;
	return i->ifa_flags & IFF_LOOPBACK || is_bridge(i->ifa_name);
}

void dns_source_init(struct dns_source *s, const struct ends *ends)
{
	*s = (struct dns_source){ .ends = *ends };
}

void dns_source_fini(struct dns_source *s)
{
	if (s->interfaces)
		freeifaddrs(s->interfaces);
	s->interfaces = NULL;
}

static bool is_listed(const struct dns_source *s, const struct bits *from)
{
	for (const struct ifaddrs *i = s->interfaces; i; i = i->ifa_next)
		if (fits(i, from))
			return true;
	return false;
}

static void look(struct dns_source *s, uint64_t now_ms)
{
	dns_source_fini(s);
	if (getifaddrs(&s->interfaces) < 0)
		s->interfaces = NULL;
	s->looked_ms = now_ms;
}

bool dns_source_may_ask(struct dns_source *s, const struct sockaddr *from,
			uint64_t now_ms)
{
	struct bits bits;
	if (ends_is_outer(&s->ends, from))
		return true;
	if (!read_bits(from, &bits))
		return false;
	if (!s->interfaces || now_ms - s->looked_ms >= KNOWN_MS)
		look(s, now_ms);
	if (is_listed(s, &bits))
		return true;
	if (now_ms - s->looked_ms < UNKNOWN_MS)
		return false;
	look(s, now_ms);
	return is_listed(s, &bits);
}
