/* dns_priv.h - what the ways to ask us share: whose question is whose. */
#pragma once
#include "docker/dns_message.h"
#include "docker/dns_server.h"
#include "docker/dns_source.h"

#include <uv.h>

struct dns_core {
	uv_loop_t *loop;
	struct dns_message_zone zone;
	struct dns_server server;
	struct dns_source source;
	struct buf answer; /* the one being made */
};

enum dns_verdict { DNS_ANSWER, DNS_FORWARD, DNS_SILENCE };

/* What to do with a question from there; DNS_ANSWER: core->answer is to be
 * sent. */
enum dns_verdict dns_judge(struct dns_core *core, const struct sockaddr *from,
			   struct str query);
/* Makes core->answer one that says no more than this. */
struct str dns_fail(struct dns_core *core, struct str query,
		    ldns_pkt_rcode rcode);
/* An id that nobody can guess. */
uint16_t dns_random_id(void);
