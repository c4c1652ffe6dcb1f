#include "docker/names_nets.h"

#include <arpa/inet.h>

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

static void add(struct names_nets *n, const struct network *from)
{
	for (size_t i = 0; i < from->n_subnets; i++) {
		const struct network_subnet *s = &from->subnets[i];
		struct hosts_net *net = &n->nets[n->n];
		if (s->is_ipv6 || !s->gateway[0] || n->n == LIMIT_HOSTS_NETS ||
		    !parse_subnet(s->cidr, net))
			continue;
		net->gateway = s->gateway;
		n->n++;
	}
}

int names_nets_take(struct names_nets *n, const struct setup *s,
		    const json_t *answer, struct err *e)
{
	struct networks fresh;
	if (networks_read(answer, s, &fresh, e))
		return -1;
	if (networks_equal(&fresh, &n->all)) {
		networks_fini(&fresh);
		return NAMES_NETS_SAME;
	}
	networks_fini(&n->all);
	*n = (struct names_nets){ .all = fresh };
	for (size_t i = 0; i < fresh.n; i++)
		if (fresh.all[i].is_open)
			add(n, &n->all.all[i]);
	return 0;
}

void names_nets_fini(struct names_nets *n)
{
	networks_fini(&n->all);
	n->n = 0;
}
