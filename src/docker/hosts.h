/* hosts.h - hosts files as bytes: does a line name our host, and the edit that
 * puts our line in or takes it out.
 *
 * Pure: hosts_file.h touches files. Exactly these lines are ours, A being an
 * address:
 *
 *   A<TAB>name                           in containers, for the rule's
 * addresses A<TAB>name # modeld                  on the host (and in copies of
 * its file), and for gateways of internal networks A<TAB>name # modeld, newline
 * before  what was there did not end in a newline, so that one came before our
 * line
 *
 * Any other line that names the host is the user's and wins. Taking out what
 * was put in gives the same bytes as before. */
#pragma once
#include "base/buf.h"

#include <netinet/in.h>

/* An internal network that may reach us, by its gateway. */
struct hosts_net {
	struct in_addr subnet, mask;
	const char *gateway;
};

struct hosts_rule {
	const char *name;
	/* Addresses whose lines have no mark, up to a NULL; NULL: none. */
	const char *const *ours;
	/* What the line shall say; NULL: there shall be no line. */
	const char *address;
	const char *address6; /* for containers that have only IPv6; or NULL */
	const struct hosts_net *nets; /* borrowed, as all of it */
	size_t n_nets;
};

struct hosts_edit {
	bool is_taken;	 /* a user's line names the host: none of ours stays */
	size_t at;	 /* the bytes before it are as they were */
	size_t unmarked; /* lines without a mark that were taken out */
};

enum hosts_outcome { HOSTS_SAME = 1 };

/* Does any line name this host? As resolvers read: any case, several names a
 * line, nothing after '#' or a NUL. */
bool hosts_has(struct str file, const char *name);

/* What the line in a container's file shall say, by the container's own
 * addresses: those of the lines that name `hostname` ("" if it is not known).
 * NULL if the rule has none. */
const char *hosts_address(struct str file, const char *hostname,
			  const struct hosts_rule *r);

/* Makes the file's bytes what the rule wants. 0: they changed, from out->at on;
 * HOSTS_SAME: nothing is to be done. *out is set in both cases. The buffer's
 * ceiling must leave room for LIMIT_HOSTS_LINE_BYTES more. */
must_use int hosts_apply(struct buf *file, const char *hostname,
			 const struct hosts_rule *r, struct hosts_edit *out);
