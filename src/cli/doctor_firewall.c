#include "cli/doctor.h"
#include "cli/rules.h"
#include "cli/tool.h"

#include <unistd.h>

#define TOOL_MS 10000
#define RULES_BYTES (8u << 20)
#define RULE_BYTES 500

static bool look(struct doctor *d, const char *const argv[],
		 bool (*read)(struct str, const char *, struct buf *),
		 bool *found)
{
	auto_buf struct buf out, rule;
	struct err unused;
	buf_init(&out, RULES_BYTES);
	buf_init(&rule, RULE_BYTES);
	if (tool_run(argv, TOOL_MS, &out, &unused))
		return false;
	if (!read(buf_str(&out), d->ways.address, &rule))
		return true;
	*found = true;
	doctor_fail(d,
		    "firewall: a rule stops containers on their way to %s: "
		    "%.*s: let that address pass before it (iptables -I "
		    "DOCKER-USER -d %s -j ACCEPT), or connect with another "
		    "--address",
		    d->ways.address, STR_ARG(buf_str(&rule)), d->ways.address);
	return true;
}

void doctor_firewall_check(struct doctor *d)
{
	static const char *const tables[] = { "filter", "raw", "mangle" };
	const char *const nft[] = { "nft", "list", "ruleset", NULL };
	bool found = false, could = false;
	if (!doctor_is_connected(d, "firewall"))
		return;
	if (geteuid() != 0) {
		doctor_skip(d, "firewall: only root may look; run this with "
			       "sudo");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(tables) && !found; i++) {
		const char *const argv[] = { "iptables", "-w", "5", "-t",
					     tables[i],	 "-S", NULL };
		could |= look(d, argv, rules_iptables, &found);
	}
	/* Rules of iptables may show here too; once is enough. */
	if (!found)
		could |= look(d, nft, rules_nft, &found);
	if (!could)
		doctor_skip(d, "firewall: neither iptables nor nft could be "
			       "asked");
	else if (!found)
		doctor_ok(d, "firewall: no rule names %s or its network",
			  d->ways.address);
}
