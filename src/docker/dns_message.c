#include "docker/dns_message.h"

#include <assert.h>
#include <stdio.h>

/* Short, so that nobody remembers us long after we went. */
#define TTL 60
/* What fits into a packet on every link (DNS flag day 2020). */
#define EDNS_BYTES 1232
#define EDNS_BADVERS_HIGH 1 /* the upper bits of the response code 16 */

#define QR 0x80
#define RCODE 0x0f

/* ---- names ---- */

int dns_message_zone_init(struct dns_message_zone *z, const char *name,
			  struct in_addr address, struct err *e)
{
	*z = (struct dns_message_zone){ .address = address };
	if (ldns_str2rdf_dname(&z->name, name) != LDNS_STATUS_OK)
		return err_set(e, ERR_USAGE, "'%s' is not a name for DNS",
			       name);
	return 0;
}

void dns_message_zone_fini(struct dns_message_zone *z)
{
	ldns_rdf_deep_free(z->name);
	z->name = NULL;
}

/* ---- headers ---- */

static unsigned read16(struct str m, size_t at)
{
	return (unsigned)(uint8_t)m.p[at] << 8 | (uint8_t)m.p[at + 1];
}

uint16_t dns_message_id(struct str message)
{
	return (uint16_t)read16(message, 0);
}

void dns_message_set_id(char *message, uint16_t id)
{
	message[0] = (char)(id >> 8);
	message[1] = (char)(id & 0xff);
}

/* The only question, which is the caller's; NULL if there is not exactly one,
 * or one that points elsewhere for its name. */
static ldns_rr *read_question(struct str m, size_t *end)
{
	ldns_rr *q = NULL;
	size_t at = DNS_MESSAGE_HEADER_BYTES;
	if (read16(m, 4) != 1 ||
	    ldns_wire2rr(&q, (const uint8_t *)m.p, m.n, &at,
			 LDNS_SECTION_QUESTION) != LDNS_STATUS_OK)
		return NULL;
	*end = DNS_MESSAGE_HEADER_BYTES + ldns_rdf_size(ldns_rr_owner(q)) + 4;
	if (*end == at)
		return q;
	ldns_rr_free(q);
	return NULL;
}

/* Only the header and, if it is known where it ends, the question. */
static void put_error(struct str query, size_t end, unsigned rcode,
		      struct buf *answer)
{
	buf_clear(answer);
	int full = buf_put(answer, query.p, end);
	assert(!full);
	char *h = answer->p;
	h[2] = (char)((h[2] | QR) & ~0x06);	     /* no AA, no TC */
	h[3] = (char)((h[3] & 0x10) | 0x80 | rcode); /* CD stays, RA */
	memset(h + 4, 0, 8);
	h[5] = end > DNS_MESSAGE_HEADER_BYTES;
}

void dns_message_refuse(struct str query, ldns_pkt_rcode rcode,
			struct buf *answer)
{
	size_t end;
	ldns_rr *q = read_question(query, &end);
	put_error(query, q ? end : DNS_MESSAGE_HEADER_BYTES, rcode, answer);
	ldns_rr_free(q);
}

/* ---- our own name ---- */

static ldns_rr *address_rr(const struct dns_message_zone *z)
{
	ldns_rr *rr = ldns_rr_new();
	ldns_rr_set_owner(rr, ldns_rdf_clone(z->name));
	ldns_rr_set_type(rr, LDNS_RR_TYPE_A);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, TTL);
	ldns_rr_push_rdf(rr,
			 ldns_rdf_new_frm_data(LDNS_RDF_TYPE_A,
					       sizeof z->address, &z->address));
	return rr;
}

/* Says for how long one may remember that there is nothing of this type. */
static ldns_rr *soa_rr(const struct dns_message_zone *z)
{
	static const uint32_t numbers[] = { 1, TTL, TTL, TTL, TTL };
	ldns_rr *rr = ldns_rr_new();
	ldns_rr_set_owner(rr, ldns_rdf_clone(z->name));
	ldns_rr_set_type(rr, LDNS_RR_TYPE_SOA);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, TTL);
	ldns_rr_push_rdf(rr, ldns_rdf_clone(z->name));
	ldns_rr_push_rdf(rr, ldns_rdf_clone(z->name));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		ldns_rr_push_rdf(rr,
				 ldns_native2rdf_int32(i ? LDNS_RDF_TYPE_PERIOD
							 : LDNS_RDF_TYPE_INT32,
						       numbers[i]));
	return rr;
}

/* RFC 6891: who sends an OPT record gets one. */
static void put_edns(const ldns_pkt *query, ldns_pkt *answer)
{
	if (!ldns_pkt_edns(query))
		return;
	ldns_pkt_set_edns_udp_size(answer, EDNS_BYTES);
	ldns_pkt_set_edns_do(answer, ldns_pkt_edns_do(query));
	if (ldns_pkt_edns_version(query) == 0)
		return;
	ldns_pkt_set_edns_extended_rcode(answer, EDNS_BADVERS_HIGH);
}

static ldns_pkt *make_answer(const struct dns_message_zone *z,
			     const ldns_pkt *query, ldns_rr *question)
{
	ldns_rr_type type = ldns_rr_get_type(question);
	ldns_pkt *p = ldns_pkt_new();
	ldns_pkt_set_id(p, ldns_pkt_id(query));
	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_aa(p, true);
	ldns_pkt_set_rd(p, ldns_pkt_rd(query));
	ldns_pkt_set_cd(p, ldns_pkt_cd(query));
	ldns_pkt_set_ra(p, true);
	ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION, ldns_rr_clone(question));
	put_edns(query, p);
	if (ldns_pkt_edns_extended_rcode(p))
		return p;
	if (type == LDNS_RR_TYPE_A || type == LDNS_RR_TYPE_ANY)
		ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, address_rr(z));
	else
		ldns_pkt_push_rr(p, LDNS_SECTION_AUTHORITY, soa_rr(z));
	return p;
}

static void answer_own(const struct dns_message_zone *z, struct str query,
		       ldns_rr *question, size_t end, struct buf *answer)
{
	ldns_pkt *q = NULL;
	uint8_t *wire = NULL;
	size_t n = 0;
	if (ldns_wire2pkt(&q, (const uint8_t *)query.p, query.n) !=
	    LDNS_STATUS_OK) {
		put_error(query, end, LDNS_RCODE_FORMERR, answer);
		return;
	}
	if (ldns_rr_get_class(question) != LDNS_RR_CLASS_IN) {
		put_error(query, end, LDNS_RCODE_REFUSED, answer);
	} else {
		ldns_pkt *p = make_answer(z, q, question);
		ldns_status made = ldns_pkt2wire(&wire, p, &n);
		assert(made == LDNS_STATUS_OK);
		ldns_pkt_free(p);
		buf_clear(answer);
		int full = buf_put(answer, wire, n);
		assert(!full);
		free(wire);
	}
	ldns_pkt_free(q);
}

int dns_message_answer(const struct dns_message_zone *z, struct str query,
		       struct buf *answer)
{
	size_t end;
	if (query.n < DNS_MESSAGE_HEADER_BYTES || (uint8_t)query.p[2] & QR)
		return DNS_MESSAGE_DROP;
	unsigned opcode = (uint8_t)query.p[2] >> 3;
	ldns_rr *q = read_question(query, &end);
	if (!q || opcode != LDNS_PACKET_QUERY) {
		put_error(query, q ? end : DNS_MESSAGE_HEADER_BYTES,
			  opcode == LDNS_PACKET_QUERY ? LDNS_RCODE_FORMERR
						      : LDNS_RCODE_NOTIMPL,
			  answer);
		ldns_rr_free(q);
		return 0;
	}
	bool is_ours = ldns_dname_compare(ldns_rr_owner(q), z->name) == 0;
	if (is_ours)
		answer_own(z, query, q, end, answer);
	ldns_rr_free(q);
	return is_ours ? 0 : DNS_MESSAGE_FORWARD;
}

/* ---- answers of others ---- */

bool dns_message_is_answer(struct str query, uint16_t id, struct str answer)
{
	if (answer.n < DNS_MESSAGE_HEADER_BYTES ||
	    dns_message_id(answer) != id || !((uint8_t)answer.p[2] & QR))
		return false;
	/* A server that did not understand us may leave the question out. */
	unsigned rcode = (uint8_t)answer.p[3] & RCODE;
	if (read16(answer, 4) == 0)
		return rcode != LDNS_RCODE_NOERROR &&
		       rcode != LDNS_RCODE_NXDOMAIN;
	size_t end;
	ldns_rr *q = read_question(query, &end);
	bool is_readable = q != NULL;
	ldns_rr_free(q);
	return is_readable && read16(answer, 4) == 1 && answer.n >= end &&
	       memcmp(query.p + DNS_MESSAGE_HEADER_BYTES,
		      answer.p + DNS_MESSAGE_HEADER_BYTES,
		      end - DNS_MESSAGE_HEADER_BYTES) == 0;
}
