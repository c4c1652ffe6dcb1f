#include "docker/guard.h"
#include "base/log.h"
#include "docker/guard_iptables.h"

#include <assert.h>
#include <nftables/libnftables.h>

#define TABLE "inet " GUARD_TABLE

/* Chains of their own hold what depends on the networks: so both parts can be
 * renewed without the other. (Sets would read better; libraries of 2022 lose
 * their way when an interval set is emptied and filled in one transaction.)
 * Numbers for priorities, since old libraries lack some names: before
 * connection tracking (-300), before Docker's own DNAT (-100) and filter (0),
 * with its masquerade (100). */
#define CHAIN "add chain " TABLE " "
#define FLUSH "flush chain " TABLE " "
#define RULE "add rule " TABLE " "

/* clang-format off */
static const char frame[] =
	"add table " TABLE "\n"
	/* Of the networks. */
	CHAIN "bridges\n"
	CHAIN "subnets\n"
	CHAIN "internal\n"
	CHAIN "open { type nat hook prerouting priority -101; }\n"
	/* The others. */
	CHAIN "guard { type filter hook prerouting priority -300; }\n"
	CHAIN "allow\n"
	CHAIN "source { type nat hook postrouting priority 100; }\n"
	CHAIN "refuse { type filter hook forward priority -1; }\n"
	CHAIN "refusal\n"
	FLUSH "guard\n"
	FLUSH "allow\n"
	FLUSH "source\n"
	FLUSH "refuse\n"
	FLUSH "refusal\n"
	RULE "allow iifname { \"lo\", \"docker0\", \"docker_gwbridge\" } accept\n"
	RULE "allow iifname \"br-*\" accept\n"
	RULE "allow jump bridges\n"
	RULE "refusal meta l4proto tcp reject with tcp reset\n"
	RULE "refusal reject\n";
/* clang-format on */

static void put(struct buf *b, const char *text)
{
	int full = buf_puts(b, text);
	assert(!full); /* LIMIT_GUARD_BYTES is for more networks than fit */
}

#define putf(b, ...)                                   \
	do {                                           \
		int full = buf_printf(b, __VA_ARGS__); \
		assert(!full);                         \
	} while (0)

static void put_chains(const struct guard_rules *r, struct buf *b)
{
	const struct ends *a = r->ends;
	putf(b, RULE "guard ip daddr { %s, %s } jump allow\n", a->inner_text,
	     a->outer_text);
	putf(b, RULE "allow iifname \"%s\" accept\n", r->device);
	put(b, RULE "allow drop\n");
	putf(b, RULE "source oifname \"%s\" jump subnets\n", r->device);
	putf(b, RULE "refuse ip daddr %s jump internal\n", a->inner_text);
	if (!a->has6)
		return;
	putf(b, RULE "guard ip6 daddr %s/%d jump allow\n", a->outer6_text,
	     ENDS_PREFIX6);
	putf(b, RULE "refuse ip6 daddr %s jump internal\n", a->inner6_text);
}

static void put_network(const struct guard_rules *r, const struct network *n,
			struct buf *b)
{
	putf(b, RULE "bridges iifname \"%s\" accept\n", n->bridge);
	if (n->is_internal) {
		const char *gateway = networks_gateway(n);
		putf(b, RULE "internal iifname \"%s\" jump refusal\n",
		     n->bridge);
		if (n->is_open && r->target && gateway[0])
			putf(b,
			     RULE "open iifname \"%s\" ip daddr %s tcp dport "
				  "%d dnat ip to %s\n",
			     n->bridge, gateway, ENDS_PORT, r->target);
		return;
	}
	for (size_t i = 0; i < n->n_subnets; i++)
		if (r->ends->has6 || !n->subnets[i].is_ipv6)
			putf(b, RULE "subnets %s saddr %s masquerade\n",
			     n->subnets[i].is_ipv6 ? "ip6" : "ip",
			     n->subnets[i].cidr);
}

void guard_text(const struct guard_rules *r, struct buf *out)
{
	put(out, frame);
	put_chains(r, out);
	if (!r->networks)
		return;
	put(out, FLUSH "bridges\n" FLUSH "subnets\n" FLUSH "internal\n" FLUSH
		       "open\n");
	for (size_t i = 0; i < r->networks->n; i++)
		put_network(r, &r->networks->all[i], out);
}

/* ---- nftables ---- */

static int run(const char *commands, struct err *e)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft)
		return err_set(e, ERR_SYSTEM, "nftables cannot be used");
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	int r = nft_run_cmd_from_buffer(nft, commands);
	if (r) {
		/* Its first line; the others point into our text. */
		struct str why = str_of(nft_ctx_get_error_buffer(nft)), line;
		line = why;
		str_split(&why, '\n', &line);
		err_set(e, ERR_SYSTEM, "nftables: %.*s", STR_ARG(line));
	}
	nft_ctx_free(nft);
	return r ? -1 : 0;
}

/* Is nftables in this kernel, and may we use it? */
static int check(struct err *e)
{
	return run("list tables", e);
}

int guard_put(const struct guard_rules *r, struct err *e)
{
	auto_buf struct buf text;
	struct err why, ignored;
	buf_init(&text, LIMIT_GUARD_BYTES);
	guard_text(r, &text);
	if (run(text.p, &why) == 0)
		return 0;
	if (guard_iptables_put(r, e))
		return err_wrap(e,
				"firewall rules of modeld: %s; and iptables in "
				"its place",
				why.msg);
	/* Without nftables that is what is meant to be. */
	log_write(check(&ignored) ? LOG_DEBUG : LOG_WARN,
		  "the rules stand in iptables, since nftables does not take "
		  "them error=\"%s\"",
		  why.msg);
	return 0;
}

int guard_remove(struct err *e)
{
	/* `delete` fails if it is not there, `add` before it does not. */
	if (check(e) == 0 && run("add table " TABLE "\ndelete table " TABLE, e))
		return -1;
	return guard_iptables_remove(e);
}
