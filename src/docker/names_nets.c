#include "docker/names_nets.h"
#include "docker/setup.h"

#include <arpa/inet.h>

int names_nets_init(struct names_nets *n, const struct setup *s, struct err *e)
{
	size_t i;
	json_t *name;
	*n = (struct names_nets){ .allowed = s->internal };
	json_array_foreach(s->internal, i, name)
	{
		if (!json_is_string(name))
			return err_set(e, ERR_USAGE,
				       "'internal' must be a list of names of "
				       "networks");
	}
	return 0;
}

static bool is_allowed(const struct names_nets *n, const char *name)
{
	size_t i;
	json_t *one;
	json_array_foreach(n->allowed, i, one)
	{
		if (name && strcmp(json_string_value(one), name) == 0)
			return true;
	}
	return false;
}

/* "172.20.0.0/16" */
static bool parse_subnet(const char *text, struct hosts_net *out)
{
	struct str rest = str_of(text), head;
	uint64_t bits;
	if (!str_split(&rest, '/', &head) || !str_to_u64(rest, &bits) ||
	    bits > 32)
		return false;
	auto_free char *address = str_dup(head);
	out->mask.s_addr = htonl(bits ? UINT32_MAX << (32 - bits) : 0);
	if (inet_pton(AF_INET, address, &out->subnet) != 1)
		return false;
	out->subnet.s_addr &= out->mask.s_addr;
	return true;
}

static void take_config(struct names_nets *n, const json_t *config)
{
	const char *subnet =
		json_string_value(json_object_get(config, "Subnet"));
	struct str gateway =
		str_of(json_string_value(json_object_get(config, "Gateway")));
	struct in_addr a;
	struct hosts_net *net = &n->nets[n->n];
	char *text = n->gateways[n->n];
	if (!subnet || !parse_subnet(subnet, net))
		return;
	/* Some Engines write the gateway with the length of the prefix, and
	 * 20.10 leaves out the one that it chose itself: the first address. */
	str_split(&gateway, '/', &gateway);
	a.s_addr = htonl(ntohl(net->subnet.s_addr) + 1);
	inet_ntop(AF_INET, &a, text, INET_ADDRSTRLEN);
	if (gateway.n && gateway.n < INET_ADDRSTRLEN) {
		memcpy(text, gateway.p, gateway.n);
		text[gateway.n] = '\0';
	}
	if (inet_pton(AF_INET, text, &a) != 1)
		return;
	net->gateway = text;
	n->n++;
}

static void take_network(struct names_nets *n, const json_t *network)
{
	const char *name = json_string_value(json_object_get(network, "Name"));
	const json_t *config,
		*list = json_object_get(json_object_get(network, "IPAM"),
					"Config");
	size_t i;
	if (!is_allowed(n, name) ||
	    !json_is_true(json_object_get(network, "Internal")))
		return;
	json_array_foreach(list, i, config)
	{
		if (n->n < LIMIT_HOSTS_NETS)
			take_config(n, config);
	}
}

bool names_nets_take(struct names_nets *n, const json_t *networks)
{
	struct names_nets fresh = { .allowed = n->allowed };
	size_t i;
	json_t *network;
	json_array_foreach(networks, i, network) take_network(&fresh, network);
	bool is_same = fresh.n == n->n;
	for (i = 0; is_same && i < n->n; i++)
		is_same = fresh.nets[i].subnet.s_addr ==
				  n->nets[i].subnet.s_addr &&
			  fresh.nets[i].mask.s_addr == n->nets[i].mask.s_addr &&
			  strcmp(fresh.gateways[i], n->gateways[i]) == 0;
	if (is_same)
		return false;
	*n = fresh;
	for (i = 0; i < n->n; i++)
		n->nets[i].gateway = n->gateways[i];
	return true;
}
