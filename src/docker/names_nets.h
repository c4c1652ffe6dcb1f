/* names_nets.h - the internal networks that the administrator lets in: their
 * containers know modeld by the gateway of their own network. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"
#include "docker/hosts.h"

struct setup;

struct names_nets {
	const json_t *allowed; /* borrowed: names, or NULL */
	struct hosts_net nets[LIMIT_HOSTS_NETS];
	char gateways[LIMIT_HOSTS_NETS][INET_ADDRSTRLEN];
	size_t n;
};

must_use int names_nets_init(struct names_nets *n, const struct setup *s,
			     struct err *e);
/* Takes the Engine's answer to GET /networks; true if anything changed. */
bool names_nets_take(struct names_nets *n, const json_t *networks);
