#include "docker/netwatch.h"
#include "base/limits.h"
#include "base/str.h"
#include "docker/ends.h"
#include "docker/guard.h"
#include "docker/setup.h"
#include "io/timer.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <uv.h>

/* One kind of news. */
struct ear {
	struct netwatch *watch;
	struct nl_sock *sock; /* owned */
	uv_poll_t poll;
	bool is_polled;
	bool is_closed;
};

struct netwatch {
	const struct setup *setup;
	const struct ends *ends;
	void (*fn)(void *ctx);
	void *ctx;
	struct timer burst;
	struct ear links, rules;
	bool is_freed;
};

static void changed(struct netwatch *w)
{
	if (!timer_is_active(&w->burst))
		timer_start(&w->burst, LIMIT_NETWATCH_BURST_MS);
}

static void on_burst(void *ctx)
{
	struct netwatch *w = ctx;
	w->fn(w->ctx);
}

static bool is_address(const struct nlattr *a, const void *want, size_t n)
{
	return a && (size_t)nla_len(a) == n && !memcmp(nla_data(a), want, n);
}

static bool is_of_ours(const struct netwatch *w, struct nlmsghdr *h, int size,
		       int family, int type)
{
	const struct nlattr *a = nlmsg_find_attr(h, size, type);
	return family == AF_INET6 ? is_address(a, &w->ends->inner6, 16) ||
					    is_address(a, &w->ends->outer6, 16)
				  : is_address(a, &w->ends->inner, 4) ||
					    is_address(a, &w->ends->outer, 4);
}

static bool is_link_of_ours(const struct netwatch *w, struct nlmsghdr *h)
{
	struct nlattr *name =
		nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_IFNAME);
	return name && nla_strcmp(name, w->setup->device) == 0;
}

/* A route or an address that others took away, or a device of ours. */
static int on_link(struct nl_msg *m, void *ctx)
{
	struct ear *ear = ctx;
	struct netwatch *w = ear->watch;
	struct nlmsghdr *h = nlmsg_hdr(m);
	bool is_news = false;
	if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK) {
		is_news = is_link_of_ours(w, h);
	} else if (h->nlmsg_type == RTM_DELROUTE) {
		struct rtmsg *r = nlmsg_data(h);
		is_news = is_of_ours(w, h, sizeof *r, r->rtm_family, RTA_DST);
	} else if (h->nlmsg_type == RTM_DELADDR) {
		struct ifaddrmsg *a = nlmsg_data(h);
		is_news = is_of_ours(w, h, sizeof *a, a->ifa_family,
				     IFA_ADDRESS) ||
			  is_of_ours(w, h, sizeof *a, a->ifa_family, IFA_LOCAL);
	}
	if (is_news)
		changed(w);
	return NL_OK;
}

static int on_rule(struct nl_msg *m, void *ctx)
{
	struct ear *ear = ctx;
	struct nlmsghdr *h = nlmsg_hdr(m);
	if (h->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_DELTABLE))
		return NL_OK;
	struct nlattr *name =
		nlmsg_find_attr(h, sizeof(struct nfgenmsg), NFTA_TABLE_NAME);
	if (name && nla_strcmp(name, GUARD_TABLE) == 0)
		changed(ear->watch);
	return NL_OK;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct ear *ear = container_of(poll, struct ear, poll);
	(void)events;
	/* Too much news at once is lost: then look. */
	if (status < 0 || nl_recvmsgs_default(ear->sock) == -NLE_NOMEM)
		changed(ear->watch);
}

static int listen_to(struct ear *ear, struct uv_loop_s *loop, int protocol,
		     const int *groups, nl_recvmsg_msg_cb_t fn, struct err *e)
{
	ear->sock = nl_socket_alloc();
	int r = ear->sock ? 0 : -NLE_NOMEM;
	if (r == 0) {
		nl_socket_disable_seq_check(ear->sock);
		nl_socket_modify_cb(ear->sock, NL_CB_VALID, NL_CB_CUSTOM, fn,
				    ear);
		r = nl_connect(ear->sock, protocol);
	}
	for (; r == 0 && *groups; groups++)
		r = nl_socket_add_membership(ear->sock, *groups);
	if (r == 0)
		r = nl_socket_set_nonblocking(ear->sock);
	if (r < 0)
		return err_set(e, ERR_SYSTEM, "listen to the kernel's news: %s",
			       nl_geterror(r));
	uv_poll_init(loop, &ear->poll, nl_socket_get_fd(ear->sock));
	ear->is_polled = true;
	uv_poll_start(&ear->poll, UV_READABLE, on_readable);
	return 0;
}

int netwatch_new(struct uv_loop_s *loop, const struct setup *s,
		 const struct ends *ends, void (*fn)(void *ctx), void *ctx,
		 struct netwatch **out, struct err *e)
{
	static const int links[] = { RTNLGRP_LINK,	  RTNLGRP_IPV4_IFADDR,
				     RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
				     RTNLGRP_IPV6_ROUTE,  0 };
	static const int rules[] = { NFNLGRP_NFTABLES, 0 };
	struct netwatch *w = xcalloc(1, sizeof *w);
	struct err ignored;
	w->setup = s;
	w->ends = ends;
	w->fn = fn;
	w->ctx = ctx;
	w->links.watch = w->rules.watch = w;
	timer_init(&w->burst, loop, on_burst, w);
	if (listen_to(&w->links, loop, NETLINK_ROUTE, links, on_link, e)) {
		netwatch_free(w);
		return -1;
	}
	/* There may be no nftables in this kernel. */
	listen_to(&w->rules, loop, NETLINK_NETFILTER, rules, on_rule, &ignored);
	*out = w;
	return 0;
}

static void destroy(struct netwatch *w)
{
	if (w->links.is_closed && w->rules.is_closed)
		free(w);
}

static void ear_end(struct ear *ear)
{
	if (ear->sock)
		nl_socket_free(ear->sock);
	ear->sock = NULL;
	ear->is_closed = true;
}

static void on_closed(uv_handle_t *h)
{
	struct ear *ear = container_of((uv_poll_t *)h, struct ear, poll);
	ear_end(ear);
	destroy(ear->watch);
}

void netwatch_free(struct netwatch *w)
{
	if (!w)
		return;
	timer_fini(&w->burst);
	struct ear *ears[] = { &w->links, &w->rules };
	for (size_t i = 0; i < ARRAY_LEN(ears); i++)
		if (!ears[i]->is_polled)
			ear_end(ears[i]);
	bool is_last = w->links.is_closed && w->rules.is_closed;
	for (size_t i = 0; i < ARRAY_LEN(ears); i++)
		if (ears[i]->is_polled)
			uv_close((uv_handle_t *)&ears[i]->poll, on_closed);
	if (is_last)
		free(w);
}
