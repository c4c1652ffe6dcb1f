/* names_nets.h - the internal networks that the administrator lets in: their
 * containers know modeld by the gateway of their own network. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"
#include "docker/hosts.h"
#include "docker/networks.h"

struct names_nets {
	struct networks all;			 /* owned */
	struct hosts_net nets[LIMIT_HOSTS_NETS]; /* gateways lie in `all` */
	size_t n;
};

enum names_nets_outcome { NAMES_NETS_SAME = 1 };

/* Takes the Engine's answer to GET /networks. May give NAMES_NETS_SAME. */
must_use int names_nets_take(struct names_nets *n, const struct setup *s,
			     const json_t *answer, struct err *e);
void names_nets_fini(struct names_nets *n);
