/* guard_iptables.h - guard.h's rules on a kernel without nftables: chains of
 * our own, each with one jump from Docker's side, by the programs that speak to
 * such a kernel. */
#pragma once
#include "docker/guard.h"

must_use int guard_iptables_put(const struct guard_rules *r, struct err *e);
must_use int guard_iptables_remove(struct err *e);
/* What iptables-restore (or ip6tables-restore) reads. */
void guard_iptables_text(const struct guard_rules *r, bool is_ipv6,
			 struct buf *out);
