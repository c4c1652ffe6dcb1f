#include "docker/netlink.h"
#include "base/str.h"

#include <netlink/addr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>

#include <errno.h>

/* Of our routes, as `ip route` shows it; above those that rt_protos names. */
#define PROTOCOL 109

struct netlink {
	struct nl_sock *sock; /* owned */
};

/* libnl's objects, freed by scope. */
#define OBJECT(type, put)            \
	static void put##p(type **p) \
	{                            \
		if (*p)              \
			put(*p);     \
	}
OBJECT(struct rtnl_link, rtnl_link_put)
OBJECT(struct rtnl_addr, rtnl_addr_put)
OBJECT(struct rtnl_route, rtnl_route_put)
OBJECT(struct nl_addr, nl_addr_put)
OBJECT(struct nl_cache, nl_cache_free)
#define auto_link __attribute__((cleanup(rtnl_link_putp))) struct rtnl_link
#define auto_addr __attribute__((cleanup(rtnl_addr_putp))) struct rtnl_addr
#define auto_route __attribute__((cleanup(rtnl_route_putp))) struct rtnl_route
#define auto_bytes __attribute__((cleanup(nl_addr_putp))) struct nl_addr
#define auto_cache __attribute__((cleanup(nl_cache_freep))) struct nl_cache

static int err_nl(struct err *e, int r, const char *what)
{
	if (r == -NLE_PERM || r == -NLE_NOACCESS)
		return err_set(e, ERR_FORBIDDEN,
			       "%s: not allowed; run this as root (in a "
			       "container: with CAP_NET_ADMIN)",
			       what);
	return err_set(e, ERR_SYSTEM, "%s: %s", what, nl_geterror(r));
}

int netlink_open(struct netlink **out, struct err *e)
{
	auto_(netlink) n = xcalloc(1, sizeof *n);
	n->sock = nl_socket_alloc();
	int r = n->sock ? nl_connect(n->sock, NETLINK_ROUTE) : -NLE_NOMEM;
	if (r < 0)
		return err_nl(e, r, "talk to the kernel about links");
	*out = steal(&n);
	return 0;
}

void netlink_free(struct netlink *n)
{
	if (!n)
		return;
	if (n->sock)
		nl_socket_free(n->sock);
	free(n);
}

/* ---- links ---- */

int netlink_find_link(struct netlink *n, const char *name,
		      struct netlink_link *out, struct err *e)
{
	auto_link *l = NULL;
	int r = rtnl_link_get_kernel(n->sock, 0, name, &l);
	if (r == -NLE_NODEV || r == -NLE_OBJ_NOTFOUND)
		return NETLINK_ABSENT;
	if (r < 0)
		return err_nl(e, r, "look at a device");
	struct nl_addr *mac = rtnl_link_get_addr(l);
	*out = (struct netlink_link){
		.index = rtnl_link_get_ifindex(l),
		.peer = rtnl_link_get_link(l),
		.is_veth = rtnl_link_is_veth(l),
		.is_up = (rtnl_link_get_flags(l) & IFF_UP) != 0,
	};
	if (mac && nl_addr_get_len(mac) == sizeof out->mac)
		memcpy(out->mac, nl_addr_get_binary_addr(mac), sizeof out->mac);
	return 0;
}

static void set_mac(struct rtnl_link *l, const unsigned char mac[6])
{
	auto_bytes *a = nl_addr_build(AF_LLC, mac, 6);
	rtnl_link_set_addr(l, a);
}

int netlink_add_veth(struct netlink *n, const char *name,
		     const unsigned char mac[6], const char *inner,
		     const unsigned char inner_mac[6], int ns, struct err *e)
{
	auto_link *l = rtnl_link_veth_alloc();
	auto_link *peer = l ? rtnl_link_veth_get_peer(l) : NULL;
	if (!peer)
		return err_nl(e, -NLE_NOMEM, "make a veth");
	rtnl_link_set_name(l, name);
	rtnl_link_set_name(peer, inner);
	rtnl_link_set_ns_fd(peer, ns);
	set_mac(l, mac);
	set_mac(peer, inner_mac);
	int r = rtnl_link_add(n->sock, l, NLM_F_CREATE | NLM_F_EXCL);
	if (r == -NLE_OPNOTSUPP)
		return err_set(e, ERR_SYSTEM,
			       "this kernel has no veth devices, which Docker "
			       "needs too; try: modprobe veth");
	return r < 0 ? err_nl(e, r, "make the veth device") : 0;
}

int netlink_delete_link(struct netlink *n, int index, struct err *e)
{
	auto_link *l = rtnl_link_alloc();
	rtnl_link_set_ifindex(l, index);
	int r = rtnl_link_delete(n->sock, l);
	if (r < 0 && r != -NLE_NODEV && r != -NLE_OBJ_NOTFOUND)
		return err_nl(e, r, "remove the veth device");
	return 0;
}

int netlink_set_up(struct netlink *n, int index, struct err *e)
{
	auto_link *l = rtnl_link_alloc();
	auto_link *change = rtnl_link_alloc();
	rtnl_link_set_ifindex(l, index);
	rtnl_link_set_flags(change, IFF_UP);
	int r = rtnl_link_change(n->sock, l, change, 0);
	return r < 0 ? err_nl(e, r, "switch a device on") : 0;
}

bool netlink_is_used(struct netlink *n)
{
	auto_cache *all = NULL;
	if (rtnl_link_alloc_cache(n->sock, AF_UNSPEC, &all) < 0)
		return true;
	for (struct nl_object *o = nl_cache_get_first(all); o;
	     o = nl_cache_get_next(o)) {
		unsigned flags = rtnl_link_get_flags((struct rtnl_link *)o);
		if (flags & IFF_UP && !(flags & IFF_LOOPBACK))
			return true;
	}
	return false;
}

/* ---- addresses ---- */

static size_t width(int family)
{
	return family == AF_INET ? 4 : 16;
}

static bool is_same(const struct netlink_addr *a, const struct nl_addr *b)
{
	return b && nl_addr_get_family(b) == a->family &&
	       nl_addr_get_len(b) == width(a->family) &&
	       memcmp(nl_addr_get_binary_addr(b), a->bytes, width(a->family)) ==
		       0;
}

static struct nl_addr *build(const struct netlink_addr *a)
{
	struct nl_addr *out =
		nl_addr_build(a->family, a->bytes, width(a->family));
	nl_addr_set_prefixlen(out, a->prefix);
	return out;
}

static int find_address(struct netlink *n, const struct netlink_addr *a,
			int index, int *found, struct err *e)
{
	auto_cache *all = NULL;
	int r = rtnl_addr_alloc_cache(n->sock, &all);
	if (r < 0)
		return err_nl(e, r, "read this machine's addresses");
	for (struct nl_object *o = nl_cache_get_first(all); o;
	     o = nl_cache_get_next(o)) {
		struct rtnl_addr *it = (struct rtnl_addr *)o;
		if (rtnl_addr_get_ifindex(it) != index &&
		    is_same(a, rtnl_addr_get_local(it)))
			*found = rtnl_addr_get_ifindex(it);
	}
	return 0;
}

static int route_device(struct rtnl_route *r)
{
	return rtnl_route_get_nnexthops(r) == 1
		       ? rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(r, 0))
		       : 0;
}

/* A route to exactly this address would win over ours. */
static int find_route(struct netlink *n, const struct netlink_addr *a,
		      int index, int *found, struct err *e)
{
	auto_cache *all = NULL;
	int r = rtnl_route_alloc_cache(n->sock, a->family, 0, &all);
	if (r < 0)
		return err_nl(e, r, "read this machine's routes");
	for (struct nl_object *o = nl_cache_get_first(all); o;
	     o = nl_cache_get_next(o)) {
		struct rtnl_route *it = (struct rtnl_route *)o;
		struct nl_addr *to = rtnl_route_get_dst(it);
		if (rtnl_route_get_protocol(it) != PROTOCOL &&
		    rtnl_route_get_table(it) == RT_TABLE_MAIN &&
		    is_same(a, to) &&
		    nl_addr_get_prefixlen(to) == 8 * width(a->family) &&
		    route_device(it) && route_device(it) != index)
			*found = route_device(it);
	}
	return 0;
}

int netlink_find_user(struct netlink *n, const struct netlink_addr *a,
		      int index, char device[IF_NAMESIZE], struct err *e)
{
	int found = 0;
	auto_link *l = NULL;
	if (find_address(n, a, index, &found, e) ||
	    (!found && find_route(n, a, index, &found, e)))
		return -1;
	if (!found)
		return NETLINK_ABSENT;
	bool has_name = rtnl_link_get_kernel(n->sock, found, NULL, &l) == 0;
	const char *name = has_name ? rtnl_link_get_name(l) : "?";
	memset(device, 0, IF_NAMESIZE);
	memcpy(device, name, MIN(strlen(name), IF_NAMESIZE - 1u));
	return 0;
}

static bool is_link_local(struct nl_addr *a)
{
	const unsigned char *b = nl_addr_get_binary_addr(a);
	return nl_addr_get_family(a) == AF_INET6 && b[0] == 0xfe &&
	       (b[1] & 0xc0) == 0x80;
}

static bool is_wanted(struct rtnl_addr *have, const struct netlink_addr *wanted,
		      size_t count)
{
	struct nl_addr *a = rtnl_addr_get_local(have);
	if (!a || is_link_local(a))
		return true;
	for (size_t i = 0; i < count; i++)
		if (is_same(&wanted[i], a) &&
		    rtnl_addr_get_prefixlen(have) == wanted[i].prefix)
			return true;
	return false;
}

static int drop_others(struct netlink *n, int index,
		       const struct netlink_addr *wanted, size_t count,
		       struct err *e)
{
	auto_cache *all = NULL;
	int r = rtnl_addr_alloc_cache(n->sock, &all);
	if (r < 0)
		return err_nl(e, r, "read this machine's addresses");
	for (struct nl_object *o = nl_cache_get_first(all); o;
	     o = nl_cache_get_next(o)) {
		struct rtnl_addr *it = (struct rtnl_addr *)o;
		if (rtnl_addr_get_ifindex(it) != index ||
		    is_wanted(it, wanted, count))
			continue;
		r = rtnl_addr_delete(n->sock, it, 0);
		if (r < 0 && r != -NLE_NOADDR)
			return err_nl(e, r, "remove an old address");
	}
	return 0;
}

int netlink_keep_addresses(struct netlink *n, int index,
			   const struct netlink_addr *wanted, size_t count,
			   struct err *e)
{
	if (drop_others(n, index, wanted, count, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		auto_addr *a = rtnl_addr_alloc();
		auto_bytes *local = build(&wanted[i]);
		rtnl_addr_set_ifindex(a, index);
		rtnl_addr_set_local(a, local);
		/* There are two of us on this cable: nobody else can have it,
		 * and nobody waits a second to find that out. */
		if (wanted[i].family == AF_INET6)
			rtnl_addr_set_flags(a, IFA_F_NODAD);
		int r = rtnl_addr_add(n->sock, a, 0);
		if (r < 0 && r != -NLE_EXIST)
			return err_nl(e, r, "set an address");
	}
	return 0;
}

/* ---- routes ---- */

static bool is_route(struct rtnl_route *have, const struct netlink_route *r)
{
	struct nl_addr *to = rtnl_route_get_dst(have);
	bool is_dead = rtnl_route_get_type(have) == RTN_UNREACHABLE;
	return is_same(&r->to, to) &&
	       nl_addr_get_prefixlen(to) == (unsigned)r->to.prefix &&
	       rtnl_route_get_priority(have) == r->metric &&
	       (r->index ? !is_dead && route_device(have) == r->index &&
				   is_same(&r->src,
					   rtnl_route_get_pref_src(have))
			 : is_dead);
}

static int add_route(struct netlink *n, const struct netlink_route *r,
		     struct err *e)
{
	auto_route *out = rtnl_route_alloc();
	auto_bytes *to = build(&r->to);
	rtnl_route_set_family(out, (uint8_t)r->to.family);
	rtnl_route_set_table(out, RT_TABLE_MAIN);
	rtnl_route_set_protocol(out, PROTOCOL);
	rtnl_route_set_dst(out, to);
	rtnl_route_set_priority(out, r->metric);
	if (r->index) {
		auto_bytes *src = build(&r->src);
		struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
		rtnl_route_set_scope(out, RT_SCOPE_LINK);
		rtnl_route_nh_set_ifindex(hop, r->index);
		rtnl_route_add_nexthop(out, hop); /* takes it */
		rtnl_route_set_pref_src(out, src);
	} else {
		rtnl_route_set_scope(out, RT_SCOPE_UNIVERSE);
		rtnl_route_set_type(out, RTN_UNREACHABLE);
	}
	int got = rtnl_route_add(n->sock, out, NLM_F_CREATE);
	if (got < 0 && got != -NLE_EXIST)
		return err_nl(e, got, "set a route");
	return 0;
}

static int keep_family(struct netlink *n, int family,
		       const struct netlink_route *wanted, size_t count,
		       struct err *e)
{
	auto_cache *all = NULL;
	int r = rtnl_route_alloc_cache(n->sock, family, 0, &all);
	if (r < 0)
		return family == AF_INET6 ? 0 /* a kernel without IPv6 */
					  : err_nl(e, r, "read the routes");
	for (struct nl_object *o = nl_cache_get_first(all); o;
	     o = nl_cache_get_next(o)) {
		struct rtnl_route *it = (struct rtnl_route *)o;
		bool keep = rtnl_route_get_protocol(it) != PROTOCOL ||
			    rtnl_route_get_table(it) != RT_TABLE_MAIN;
		for (size_t i = 0; i < count && !keep; i++)
			keep = is_route(it, &wanted[i]);
		if (keep)
			continue;
		r = rtnl_route_delete(n->sock, it, 0);
		if (r < 0 && r != -NLE_OBJ_NOTFOUND)
			return err_nl(e, r, "remove an old route");
	}
	return 0;
}

int netlink_add_routes(struct netlink *n, const struct netlink_route *wanted,
		       size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (add_route(n, &wanted[i], e))
			return -1;
	return 0;
}

int netlink_keep_routes(struct netlink *n, const struct netlink_route *wanted,
			size_t count, struct err *e)
{
	/* First what is wanted: there is no moment without any. */
	if (netlink_add_routes(n, wanted, count, e) ||
	    keep_family(n, AF_INET, wanted, count, e) ||
	    keep_family(n, AF_INET6, wanted, count, e))
		return -1;
	return 0;
}

int netlink_drop_default(struct netlink *n, struct err *e)
{
	auto_cache *all = NULL;
	int r = rtnl_route_alloc_cache(n->sock, AF_UNSPEC, 0, &all);
	if (r < 0)
		return err_nl(e, r, "read the namespace's routes");
	for (struct nl_object *o = nl_cache_get_first(all); o;
	     o = nl_cache_get_next(o)) {
		struct rtnl_route *it = (struct rtnl_route *)o;
		struct nl_addr *to = rtnl_route_get_dst(it);
		if ((to && nl_addr_get_prefixlen(to)) ||
		    rtnl_route_get_type(it) != RTN_UNICAST)
			continue;
		r = rtnl_route_delete(n->sock, it, 0);
		if (r < 0 && r != -NLE_OBJ_NOTFOUND)
			return err_nl(e, r, "remove a default route");
	}
	return 0;
}
