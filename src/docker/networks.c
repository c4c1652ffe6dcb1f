#include "docker/networks.h"
#include "base/log.h"
#include "docker/setup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What names a device in rules: no quotes, no spaces, no wildcards. */
static bool is_device(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n >= IF_NAMESIZE)
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return false;
	return true;
}

/* The bytes, with IPv4 as ::ffff:1.2.3.4, and the kernel's own spelling. */
static bool read_address(struct str text, bool *is_ipv6, struct in6_addr *bytes,
			 char out[INET6_ADDRSTRLEN])
{
	char z[INET6_ADDRSTRLEN];
	if (text.n >= sizeof z)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	*is_ipv6 = str_find(text, ':') >= 0;
	memset(bytes, 0, sizeof *bytes);
	memset(&bytes->s6_addr[10], *is_ipv6 ? 0 : 0xff, 2);
	int family = *is_ipv6 ? AF_INET6 : AF_INET;
	void *at = &bytes->s6_addr[*is_ipv6 ? 0 : 12];
	return inet_pton(family, z, at) == 1 &&
	       inet_ntop(family, at, out, INET6_ADDRSTRLEN);
}

static bool read_subnet(const json_t *ipam, struct network_subnet *out)
{
	struct err e;
	struct str cidr = { "", 0 }, gateway = { "", 0 };
	char base[INET6_ADDRSTRLEN];
	struct in6_addr ignored;
	uint64_t prefix;
	bool is_ipv6;
	if (json_get_str(ipam, "Subnet", &cidr, &e) ||
	    json_get_str(ipam, "Gateway", &gateway, &e))
		return false;
	ptrdiff_t slash = str_find(cidr, '/');
	if (slash < 0 ||
	    !read_address(str_head(cidr, (size_t)slash), &out->is_ipv6,
			  &out->base, base) ||
	    !str_to_u64(str_tail(cidr, (size_t)slash + 1), &prefix) ||
	    prefix == 0 || prefix > (out->is_ipv6 ? 128 : 32))
		return false;
	snprintf(out->cidr, sizeof out->cidr, "%s/%u", base, (unsigned)prefix);
	out->prefix = (unsigned)prefix + (out->is_ipv6 ? 0 : 96);
	/* "172.17.0.1", by some Engines with a prefix. */
	slash = str_find(gateway, '/');
	if (slash >= 0)
		gateway = str_head(gateway, (size_t)slash);
	if (!read_address(gateway, &is_ipv6, &ignored, out->gateway) ||
	    is_ipv6 != out->is_ipv6)
		out->gateway[0] = '\0';
	return true;
}

static void read_subnets(const json_t *network, struct network *out)
{
	const json_t *config =
		json_object_get(json_object_get(network, "IPAM"), "Config");
	size_t i;
	json_t *it;
	json_array_foreach(config, i, it)
	{
		if (out->n_subnets == LIMIT_NETWORK_SUBNETS)
			return;
		if (read_subnet(it, &out->subnets[out->n_subnets]))
			out->n_subnets++;
		else
			log_debug("a subnet is not understood network=%s",
				  out->name);
	}
}

/* The device's own IPv4 address, or "". */
static void ask_device(const char *device, char out[INET6_ADDRSTRLEN])
{
	struct ifreq r = { 0 };
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(r.ifr_name, device, strlen(device));
	if (fd < 0 || ioctl(fd, SIOCGIFADDR, &r) < 0)
		return;
	struct sockaddr_in a;
	memcpy(&a, &r.ifr_addr, sizeof a);
	inet_ntop(AF_INET, &a.sin_addr, out, INET6_ADDRSTRLEN);
}

static void find_gateway(struct network *n)
{
	for (size_t i = 0; i < n->n_subnets; i++) {
		struct network_subnet *it = &n->subnets[i];
		if (it->is_ipv6)
			continue;
		if (!it->gateway[0])
			ask_device(n->bridge, it->gateway);
		return;
	}
}

static int read_network(const json_t *j, const struct setup *s,
			struct network *out, struct err *e)
{
	struct str name = { 0 }, id = { 0 }, bridge = { 0 };
	struct str is_default = { "", 0 };
	const json_t *options = json_object_get(j, "Options");
	if (json_get_str(j, "Name", &name, e) || json_get_str(j, "Id", &id, e))
		return -1;
	if (!name.n || id.n < 12 || id.n >= sizeof out->id)
		return err_set(e, ERR_ENGINE, "a network has no name or no id");
	if (json_get_bool(j, "Internal", &out->is_internal, e))
		return -1;
	if (options &&
	    (json_get_str(options, "com.docker.network.bridge.name", &bridge,
			  e) ||
	     json_get_str(options, "com.docker.network.bridge.default_bridge",
			  &is_default, e)))
		return -1;
	out->name = str_dup(name);
	memcpy(out->id, id.p, id.n);
	out->is_default = str_eq(is_default, "true");
	out->is_open = out->is_internal && networks_is_open(s, out->name);
	if (bridge.n && bridge.n < sizeof out->bridge)
		memcpy(out->bridge, bridge.p, bridge.n);
	else if (!bridge.n)
		snprintf(out->bridge, sizeof out->bridge, "br-%.12s", out->id);
	if (!is_device(out->bridge)) {
		log_warn("a network is left out, its device cannot stand in a "
			 "rule network=%s",
			 out->name);
		out->bridge[0] = '\0';
	}
	read_subnets(j, out);
	find_gateway(out);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct network *)a)->id,
		      ((const struct network *)b)->id);
}

int networks_read(const json_t *answer, const struct setup *s,
		  struct networks *out, struct err *e)
{
	size_t i;
	json_t *it;
	*out = (struct networks){ 0 };
	if (!json_is_array(answer))
		return err_set(e, ERR_ENGINE,
			       "the Docker Engine's list of networks is none");
	out->all = xcalloc(json_array_size(answer) + 1, sizeof *out->all);
	json_array_foreach(answer, i, it)
	{
		struct str driver = { "", 0 };
		if (json_get_str(it, "Driver", &driver, e)) {
			networks_fini(out);
			return -1;
		}
		if (!str_eq(driver, "bridge"))
			continue;
		struct network *n = &out->all[out->n++];
		if (read_network(it, s, n, e)) {
			networks_fini(out);
			return -1;
		}
		if (!n->bridge[0])
			base_freep(&out->all[--out->n].name);
	}
	qsort(out->all, out->n, sizeof *out->all, by_id);
	return 0;
}

void networks_fini(struct networks *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->all[i].name);
	free(n->all);
	*n = (struct networks){ 0 };
}

void networks_copy(const struct networks *n, struct networks *out)
{
	out->n = n->n;
	out->all = xcalloc(n->n + 1, sizeof *out->all);
	for (size_t i = 0; i < n->n; i++) {
		out->all[i] = n->all[i];
		out->all[i].name = xstrdup(n->all[i].name);
	}
}

static bool is_same(const struct network *a, const struct network *b)
{
	if (strcmp(a->name, b->name) || strcmp(a->id, b->id) ||
	    strcmp(a->bridge, b->bridge) || a->is_default != b->is_default ||
	    a->is_internal != b->is_internal || a->is_open != b->is_open ||
	    a->n_subnets != b->n_subnets)
		return false;
	for (size_t i = 0; i < a->n_subnets; i++)
		if (strcmp(a->subnets[i].cidr, b->subnets[i].cidr) ||
		    strcmp(a->subnets[i].gateway, b->subnets[i].gateway))
			return false;
	return true;
}

bool networks_equal(const struct networks *a, const struct networks *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!is_same(&a->all[i], &b->all[i]))
			return false;
	return true;
}

const struct network *networks_default(const struct networks *n)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->all[i].is_default)
			return &n->all[i];
	return NULL;
}

static bool is_in(const struct in6_addr *a, const struct network_subnet *n)
{
	size_t bytes = n->prefix / 8;
	unsigned rest = n->prefix % 8;
	unsigned mask = 0xff00u >> rest & 0xff;
	return memcmp(a, &n->base, bytes) == 0 &&
	       (!rest ||
		((a->s6_addr[bytes] ^ n->base.s6_addr[bytes]) & mask) == 0);
}

const struct network *networks_find(const struct networks *n,
				    const struct in6_addr *address)
{
	for (size_t i = 0; i < n->n; i++)
		for (size_t k = 0; k < n->all[i].n_subnets; k++)
			if (is_in(address, &n->all[i].subnets[k]))
				return &n->all[i];
	return NULL;
}

const char *networks_gateway(const struct network *n)
{
	for (size_t i = 0; i < n->n_subnets; i++)
		if (!n->subnets[i].is_ipv6)
			return n->subnets[i].gateway;
	return "";
}

bool networks_is_open(const struct setup *s, const char *name)
{
	size_t i;
	json_t *it;
	json_array_foreach(s->internal, i, it)
	{
		if (json_is_string(it) &&
		    strcmp(json_string_value(it), name) == 0)
			return true;
	}
	return false;
}
