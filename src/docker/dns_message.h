/* dns_message.h - DNS messages: what a query wants, our answers for the one
 * name that is ours, and whether an answer is to a question of ours.
 *
 * Pure. Queries for other names are passed on as they are, so no more of them
 * is read than the header and the question. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <ldns/ldns.h>
#include <netinet/in.h>

#define DNS_MESSAGE_HEADER_BYTES 12
#define DNS_MESSAGE_MAX_BYTES 65535

struct dns_message_zone {
	ldns_rdf *name; /* owned */
	struct in_addr address;
};

/* -1: `name` is no name for DNS. */
must_use int dns_message_zone_init(struct dns_message_zone *z, const char *name,
				   struct in_addr address, struct err *e);
void dns_message_zone_fini(struct dns_message_zone *z);

enum dns_message_outcome { DNS_MESSAGE_FORWARD = 1, DNS_MESSAGE_DROP = 2 };

/* 0: *answer (which is emptied first) holds what the client shall get: there is
 * an address, there is none of that type, or why not. DNS_MESSAGE_FORWARD: the
 * query is another's to answer. DNS_MESSAGE_DROP: it is no query. `answer` has
 * room for DNS_MESSAGE_MAX_BYTES. */
must_use int dns_message_answer(const struct dns_message_zone *z,
				struct str query, struct buf *answer);

/* An answer that has nothing but a response code. `query` is one that was to be
 * forwarded. */
void dns_message_refuse(struct str query, ldns_pkt_rcode rcode,
			struct buf *answer);

uint16_t dns_message_id(struct str message);
/* Of at least two bytes. */
void dns_message_set_id(char *message, uint16_t id);

/* Does `answer` answer this query, when it was sent with this id? The question
 * must be the same to the letter. */
bool dns_message_is_answer(struct str query, uint16_t id, struct str answer);
