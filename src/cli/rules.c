#include "cli/rules.h"

#include <arpa/inet.h>

#define CHAINS 64
#define NAME_BYTES 64
#define OWN_NFT_TABLE "inet modeld"
#define OWN_CHAIN "MODELD-"

/* Chains where the address was let through already. */
struct passed {
	char names[CHAINS][NAME_BYTES];
	size_t n;
};

static bool has_passed(const struct passed *p, struct str chain)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(chain, p->names[i]))
			return true;
	return false;
}

static void pass(struct passed *p, struct str chain)
{
	if (p->n == CHAINS || chain.n >= NAME_BYTES || has_passed(p, chain))
		return;
	memcpy(p->names[p->n], chain.p, chain.n);
	p->names[p->n++][chain.n] = '\0';
}

static bool parse_ip(struct str s, uint32_t *out)
{
	char text[INET_ADDRSTRLEN] = "";
	struct in_addr a;
	if (!s.n || s.n >= sizeof text)
		return false;
	memcpy(text, s.p, s.n);
	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*out = ntohl(a.s_addr);
	return true;
}

/* "169.254.0.0/16", "169.254.0.0-169.254.255.255" or one address. A network
 * that is all of IPv4 names nothing. */
static bool covers(struct str net, uint32_t address)
{
	ptrdiff_t slash = str_find(net, '/'), dash = str_find(net, '-');
	ptrdiff_t cut = slash >= 0 ? slash : dash;
	uint32_t from, to;
	uint64_t bits = 32;
	if (!parse_ip(cut < 0 ? net : str_head(net, (size_t)cut), &from))
		return false;
	struct str rest = str_tail(net, (size_t)cut + 1);
	if (dash >= 0 && slash < 0)
		return parse_ip(rest, &to) && from <= address && address <= to;
	if (slash >= 0 && (!str_to_u64(rest, &bits) || bits > 32 || !bits))
		return false;
	uint32_t mask = (uint32_t)(UINT64_C(0xffffffff) << (32 - bits));
	return (from & mask) == (address & mask);
}

/* The next word; false when there is none. */
static bool next_word(struct str *rest, struct str *word)
{
	while (str_split(rest, ' ', word)) {
		*word = str_trim(*word);
		if (word->n)
			return true;
	}
	return false;
}

enum verdict { NONE, BLOCKS, PASSES };

static enum verdict verdict_of(struct str word)
{
	if (str_eq_nocase(word, "drop") || str_eq_nocase(word, "reject"))
		return BLOCKS;
	if (str_eq_nocase(word, "accept") || str_eq_nocase(word, "return"))
		return PASSES;
	return NONE;
}

/* "-A CHAIN ... -d NET ... -j TARGET ..." */
static enum verdict read_iptables(struct str line, uint32_t address,
				  struct str *chain)
{
	struct str word, rest = line;
	enum verdict v = NONE;
	bool is_ours = false, is_not = false;
	if (!next_word(&rest, &word) || !str_eq(word, "-A") ||
	    !next_word(&rest, chain) || str_starts(*chain, OWN_CHAIN))
		return NONE;
	while (next_word(&rest, &word)) {
		bool is_target = str_eq(word, "-j");
		bool is_net = str_eq(word, "-d") && !is_not;
		is_not = str_eq(word, "!");
		if (!is_target && !is_net)
			continue;
		if (!next_word(&rest, &word))
			break;
		if (is_target)
			v = verdict_of(word);
		else
			is_ours = covers(word, address);
	}
	return is_ours ? v : NONE;
}

/* False: there is no room, so what is found is not told. */
static bool tell(struct buf *out, struct str a, struct str b, struct str line)
{
	if (a.n)
		return !buf_printf(out, "table %.*s, chain %.*s: %.*s",
				   STR_ARG(a), STR_ARG(b), STR_ARG(line));
	return !buf_put(out, line.p, line.n);
}

bool rules_iptables(struct str text, const char *address, struct buf *out)
{
	struct passed passed = { .n = 0 };
	struct str line, chain = { 0 };
	uint32_t ip;
	if (!parse_ip(str_of(address), &ip))
		return false;
	while (str_split(&text, '\n', &line)) {
		enum verdict v = read_iptables(line, ip, &chain);
		if (v == PASSES)
			pass(&passed, chain);
		if (v == BLOCKS && !has_passed(&passed, chain))
			return tell(out, (struct str){ 0 }, chain, line);
	}
	return false;
}

/* One network, or "{ a, b }"; `first` is the word after "daddr". */
static bool read_set(struct str first, struct str *rest, uint32_t address)
{
	struct str word = first;
	bool is_in = false;
	if (!str_starts(word, "{"))
		return covers(word, address);
	while (next_word(rest, &word)) {
		if (str_starts(word, "}"))
			break;
		if (str_ends(word, ","))
			word.n--;
		is_in |= covers(word, address);
	}
	return is_in;
}

/* "... ip daddr NET ... drop" */
static enum verdict read_nft(struct str line, uint32_t address)
{
	struct str word, rest = line;
	enum verdict v = NONE;
	bool is_ours = false, is_ip = false;
	while (next_word(&rest, &word)) {
		if (is_ip && str_eq(word, "daddr") && next_word(&rest, &word))
			is_ours = read_set(word, &rest, address);
		else if (verdict_of(word) != NONE)
			v = verdict_of(word);
		is_ip = str_eq(word, "ip");
	}
	return is_ours ? v : NONE;
}

/* "table ip filter {": what is between the two. */
static bool is_block(struct str line, const char *kind, struct str *name)
{
	size_t n = strlen(kind);
	if (!str_starts(line, kind) || !str_ends(line, "{"))
		return false;
	*name = str_trim(str_tail(str_head(line, line.n - 1), n));
	return true;
}

bool rules_nft(struct str text, const char *address, struct buf *out)
{
	struct str line, table = { "", 0 }, chain = { "", 0 };
	bool has_passed_here = false;
	uint32_t ip;
	if (!parse_ip(str_of(address), &ip))
		return false;
	while (str_split(&text, '\n', &line)) {
		while (line.n && (line.p[0] == '\t' || line.p[0] == ' '))
			line = str_tail(line, 1);
		if (is_block(line, "table ", &table))
			continue;
		if (is_block(line, "chain ", &chain)) {
			has_passed_here = false;
			continue;
		}
		enum verdict v = str_eq(table, OWN_NFT_TABLE)
					 ? NONE
					 : read_nft(line, ip);
		has_passed_here |= v == PASSES;
		if (v == BLOCKS && !has_passed_here)
			return tell(out, table, chain, line);
	}
	return false;
}
