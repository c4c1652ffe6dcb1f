/* rules.h - which rule of a firewall stops what goes to an address.
 *
 * Reads what `iptables -S` and `nft list ruleset` print. Found are rules that
 * name a network with the address in it as the destination and drop or reject;
 * not if a rule before it in its chain lets the address through. A rule that
 * drops without naming a destination is not: that is for a real try to find. */
#pragma once
#include "base/buf.h"

/* `address` is IPv4. The first such rule as the tool has it, or false; our own
 * chains are passed over. */
bool rules_iptables(struct str text, const char *address, struct buf *out);
/* "table ip filter, chain FORWARD: ip daddr ... drop"; our own table is passed
 * over. */
bool rules_nft(struct str text, const char *address, struct buf *out);
