#include "docker/net.h"
#include "base/log.h"
#include "docker/ends.h"
#include "docker/guard.h"
#include "docker/netlink.h"
#include "docker/netns.h"
#include "docker/setup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INNER "eth0"
/* The device's route wins; the other one loses against all. */
#define METRIC 10
#define METRIC_LAST 4278198272u

/* How we know our devices again; local addresses, so nobody's card has them. */
static const unsigned char mac[6] = { 0x8a, 'm', 'o', 'd', 'e', 1 };
static const unsigned char inner_mac[6] = { 0x8a, 'm', 'o', 'd', 'e', 2 };

/* What a run works with. */
struct net {
	const struct setup *setup;
	struct ends ends;
	struct netlink *host;
	struct netlink *inner; /* NULL until the namespace is there */
	int ns, lock;
	struct netlink_link link; /* the host's end */
};

static void net_fini(struct net *n)
{
	netlink_free(n->host);
	netlink_free(n->inner);
	base_closep(&n->ns);
	base_closep(&n->lock);
}
#define auto_net __attribute__((cleanup(net_fini))) struct net

static int net_init(struct net *n, const struct setup *s, struct err *e)
{
	*n = (struct net){ .setup = s, .ns = -1, .lock = -1 };
	if (strlen(s->device) >= IF_NAMESIZE)
		return err_set(e, ERR_USAGE,
			       "device '%s': a name has at most %d characters",
			       s->device, IF_NAMESIZE - 1);
	if (ends_read(s, &n->ends, e))
		return -1;
	if (geteuid() != 0)
		return err_set(e, ERR_FORBIDDEN, "run this as root");
	if (netns_lock(&n->lock, e) || netlink_open(&n->host, e))
		return -1;
	return 0;
}

static struct netlink_addr addr4(struct in_addr a, int prefix)
{
	struct netlink_addr out = { .family = AF_INET, .prefix = prefix };
	memcpy(out.bytes, &a, sizeof a);
	return out;
}

static struct netlink_addr addr6(struct in6_addr a, int prefix)
{
	struct netlink_addr out = { .family = AF_INET6, .prefix = prefix };
	memcpy(out.bytes, &a, sizeof a);
	return out;
}

/* ---- IPv6, if this host has it ---- */

/* In the namespace that the thread is in. */
static bool is_ipv6_off(const char *device)
{
	char path[80], c = '1';
	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
		 device);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || read(fd, &c, 1) != 1 || c != '0';
}

/* An administrator who switched it off is not overruled. */
static void look_at_ipv6(struct net *n)
{
	const char *device = n->link.index ? n->setup->device : "default";
	if (!n->ends.has6 || !is_ipv6_off(device))
		return;
	log_debug("IPv6 is off on this host, so containers with only IPv6 are "
		  "left out");
	n->ends.has6 = false;
}

static int switch_ipv6_on(struct err *e)
{
	auto_close int fd =
		open("/proc/sys/net/ipv6/conf/" INNER "/disable_ipv6",
		     O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return err_sys(e, "allow IPv6 in the namespace");
	return 0;
}

/* The namespace is ours, whatever the kernel's default for it was. Looked at
 * first: a service may be kept from writing there. */
static int allow_inner_ipv6(struct net *n, struct err *e)
{
	int back;
	if (netns_enter(n->ns, &back, e))
		return -1;
	int r = is_ipv6_off(INNER) ? switch_ipv6_on(e) : 0;
	netns_leave(back);
	return r;
}

/* ---- the cable ---- */

static int check_free(struct net *n, const struct netlink_addr *a,
		      const char *text, const char *option, struct err *e)
{
	char device[IF_NAMESIZE];
	int r = netlink_find_user(n->host, a, n->link.index, device, e);
	if (r == 0)
		return err_set(e, ERR_CONFLICT,
			       "the address %s is in use on the device %s; "
			       "choose another one (--%s, or \"%s\" in %s)",
			       text, device, option, option, n->setup->config);
	return r == NETLINK_ABSENT ? 0 : -1;
}

static int check_addresses(struct net *n, struct err *e)
{
	const struct ends *a = &n->ends;
	struct netlink_addr inner = addr4(a->inner, 32);
	struct netlink_addr outer = addr4(a->outer, 32);
	struct netlink_addr inner6 = addr6(a->inner6, 128);
	struct netlink_addr outer6 = addr6(a->outer6, 128);
	if (check_free(n, &inner, a->inner_text, "address", e) ||
	    check_free(n, &outer, a->outer_text, "address", e))
		return -1;
	if (a->has6 && (check_free(n, &inner6, a->inner6_text, "address6", e) ||
			check_free(n, &outer6, a->outer6_text, "address6", e)))
		return -1;
	return 0;
}

static bool is_ours(const struct netlink_link *l, const unsigned char want[6])
{
	return l->is_veth && memcmp(l->mac, want, 6) == 0;
}

/* Finds our device; NET_ABSENT if there is none, -1 if it is another's. */
static int find_device(struct net *n, struct err *e)
{
	int r = netlink_find_link(n->host, n->setup->device, &n->link, e);
	if (r == NETLINK_ABSENT) {
		n->link = (struct netlink_link){ 0 };
		return NET_ABSENT;
	}
	if (r == 0 && !is_ours(&n->link, mac))
		return err_set(e, ERR_CONFLICT,
			       "there is a device %s already, and it is not "
			       "modeld's; choose another name (--device, or "
			       "\"device\" in %s)",
			       n->setup->device, n->setup->config);
	return r;
}

/* Opens the namespace; may give NET_ABSENT. */
static int open_namespace(struct net *n, struct err *e)
{
	int back;
	int r = netns_open(n->setup->netns, &n->ns, e);
	if (r)
		return r == NETNS_ABSENT ? NET_ABSENT : -1;
	if (netns_enter(n->ns, &back, e))
		return -1;
	r = netlink_open(&n->inner, e);
	netns_leave(back);
	return r;
}

/* Is the other end of our device this namespace's eth0? */
static int find_inner(struct net *n, struct netlink_link *inner, struct err *e)
{
	int r = netlink_find_link(n->inner, INNER, inner, e);
	if (r == NETLINK_ABSENT)
		return NET_ABSENT;
	if (r == 0 && !is_ours(inner, inner_mac))
		return err_set(e, ERR_CONFLICT,
			       "the network namespace %s is in use by another "
			       "program; choose another name (--netns, or "
			       "\"netns\" in %s)",
			       n->setup->netns, n->setup->config);
	if (r == 0 &&
	    (inner->peer != n->link.index || n->link.peer != inner->index))
		return NET_ABSENT;
	return r;
}

/* What is left of an older cable goes, with both its ends. */
static int drop_cable(struct net *n, struct err *e)
{
	struct netlink_link inner;
	if (n->link.index && netlink_delete_link(n->host, n->link.index, e))
		return -1;
	int r = netlink_find_link(n->inner, INNER, &inner, e);
	if (r)
		return r == NETLINK_ABSENT ? 0 : -1;
	return netlink_delete_link(n->inner, inner.index, e);
}

static int make_cable(struct net *n, struct netlink_link *inner, struct err *e)
{
	int r = find_inner(n, inner, e);
	if (r != NET_ABSENT)
		return r;
	if (drop_cable(n, e) || netlink_add_veth(n->host, n->setup->device, mac,
						 INNER, inner_mac, n->ns, e))
		return -1;
	r = find_device(n, e);
	if (r == 0)
		r = find_inner(n, inner, e);
	return r > 0 ? err_set(e, ERR_SYSTEM, "the device %s went away again",
			       n->setup->device)
		     : r;
}

/* ---- addresses and routes ---- */

static int configure_inner(struct net *n, const struct netlink_link *inner,
			   struct err *e)
{
	struct netlink_link lo;
	struct netlink_addr own[] = { addr4(n->ends.inner, ENDS_PREFIX),
				      addr6(n->ends.inner6, ENDS_PREFIX6) };
	if (netlink_find_link(n->inner, "lo", &lo, e) ||
	    (!lo.is_up && netlink_set_up(n->inner, lo.index, e)) ||
	    (n->ends.has6 && allow_inner_ipv6(n, e)) ||
	    (!inner->is_up && netlink_set_up(n->inner, inner->index, e)) ||
	    netlink_keep_addresses(n->inner, inner->index, own,
				   n->ends.has6 ? 2 : 1, e) ||
	    netlink_drop_default(n->inner, e))
		return err_wrap(e, "in the namespace %s", n->setup->netns);
	return 0;
}

/* Both families' route to the inner end; index 0: the unreachable ones. */
static size_t put_routes(struct net *n, int index, struct netlink_route *out)
{
	const struct ends *a = &n->ends;
	unsigned metric = index ? METRIC : METRIC_LAST;
	out[0] = (struct netlink_route){ .to = addr4(a->inner, 32),
					 .metric = metric,
					 .index = index,
					 .src = addr4(a->outer, 32) };
	out[1] = (struct netlink_route){ .to = addr6(a->inner6, 128),
					 .metric = metric,
					 .index = index,
					 .src = addr6(a->outer6, 128) };
	return a->has6 ? 2 : 1;
}

static int configure_host(struct net *n, struct err *e)
{
	struct netlink_addr own[] = { addr4(n->ends.outer, ENDS_PREFIX),
				      addr6(n->ends.outer6, ENDS_PREFIX6) };
	if ((!n->link.is_up && netlink_set_up(n->host, n->link.index, e)) ||
	    netlink_keep_addresses(n->host, n->link.index, own,
				   n->ends.has6 ? 2 : 1, e))
		return err_wrap(e, "on the device %s", n->setup->device);
	struct netlink_route routes[4];
	size_t count = put_routes(n, 0, routes);
	count += put_routes(n, n->link.index, routes + count);
	return netlink_keep_routes(n->host, routes, count, e);
}

/* What stands before anybody can come: a name in a hosts file may be older
 * than the cable. */
static int protect(struct net *n, struct err *e)
{
	struct netlink_route routes[2];
	size_t count = put_routes(n, 0, routes);
	struct guard_rules rules = { .ends = &n->ends,
				     .device = n->setup->device };
	if (guard_put(&rules, e))
		return -1;
	return netlink_add_routes(n->host, routes, count, e);
}

/* ---- up, down, and in between ---- */

int net_up(const struct setup *s, struct err *e)
{
	auto_net n = { .ns = -1, .lock = -1 };
	struct netlink_link inner;
	if (net_init(&n, s, e) || find_device(&n, e) < 0)
		return -1;
	look_at_ipv6(&n);
	if (check_addresses(&n, e) || netns_make(s->netns, e) ||
	    open_namespace(&n, e) || protect(&n, e) ||
	    make_cable(&n, &inner, e) || configure_inner(&n, &inner, e) ||
	    configure_host(&n, e))
		return -1;
	return 0;
}

int net_repair(const struct setup *s, const struct networks *networks,
	       const char *target, struct err *e)
{
	auto_net n = { .ns = -1, .lock = -1 };
	struct netlink_link inner;
	if (net_init(&n, s, e))
		return -1;
	int r = find_device(&n, e);
	if (r == 0)
		r = open_namespace(&n, e);
	if (r == 0)
		r = find_inner(&n, &inner, e);
	if (r)
		return r;
	look_at_ipv6(&n);
	struct guard_rules rules = { .ends = &n.ends,
				     .device = s->device,
				     .networks = networks,
				     .target = target };
	if (guard_put(&rules, e))
		return -1;
	/* Who switched the device off wants it off. */
	if (!n.link.is_up)
		return NET_ABSENT;
	return configure_inner(&n, &inner, e) || configure_host(&n, e) ? -1 : 0;
}

/* Another program's namespace of this name stays. */
static int remove_namespace(struct net *n, struct err *e)
{
	struct netlink_link inner;
	int r = open_namespace(n, e);
	if (r == NET_ABSENT) /* or only its file, after a crash */
		return netns_remove(n->setup->netns, e);
	if (r == 0)
		r = netlink_find_link(n->inner, INNER, &inner, e);
	if (r < 0)
		return -1;
	bool is_its = r == 0 ? !is_ours(&inner, inner_mac)
			     : netlink_is_used(n->inner);
	if (is_its) {
		log_warn("a network namespace is left, since it is not "
			 "modeld's name=%s",
			 n->setup->netns);
		return 0;
	}
	return netns_remove(n->setup->netns, e);
}

int net_down(const struct setup *s, struct err *e)
{
	auto_net n = { .ns = -1, .lock = -1 };
	struct err other;
	if (net_init(&n, s, e))
		return -1;
	int r = find_device(&n, &other);
	if (r < 0)
		log_warn("a device is left: %s", other.msg);
	/* The namespace lives on while a socket of modeld's is in it, so the
	 * cable is cut by itself. Each is tried; the first error stays. */
	int failed = remove_namespace(&n, e);
	if (r == 0 &&
	    netlink_delete_link(n.host, n.link.index, failed ? &other : e))
		failed = -1;
	if (guard_remove(failed ? &other : e))
		failed = -1;
	/* While the cable is there, or a rule, so is what holds a request back
	 * when the address is not. */
	if (!failed)
		failed = netlink_keep_routes(n.host, NULL, 0, e);
	return failed;
}

int net_command(const struct setup *s, struct err *e)
{
	if (strcmp(s->action, "down") == 0)
		return net_down(s, e);
	if (net_up(s, e))
		return -1;
	log_info("the way in for containers stands address=%s namespace=%s",
		 s->address, s->netns);
	return 0;
}
