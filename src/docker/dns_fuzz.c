#include "docker/dns_message.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define NAME "m.internal"

static void check_query(const struct dns_message_zone *z, struct str m,
			struct buf *answer)
{
	int r = dns_message_answer(z, m, answer);
	assert(r == 0 || r == DNS_MESSAGE_FORWARD || r == DNS_MESSAGE_DROP);
	if (r == DNS_MESSAGE_DROP)
		return;
	if (r == DNS_MESSAGE_FORWARD)
		dns_message_refuse(m, LDNS_RCODE_SERVFAIL, answer);
	struct str a = buf_str(answer);
	/* Small, so that nobody can use us against others; the answer to this
	 * question; never "there is no such name". */
	assert(a.n >= DNS_MESSAGE_HEADER_BYTES && a.n <= 512);
	assert(dns_message_id(a) == dns_message_id(m));
	assert((uint8_t)a.p[2] & 0x80);
	assert((a.p[3] & 15) != LDNS_RCODE_NXDOMAIN);
	if (r == DNS_MESSAGE_FORWARD)
		assert(dns_message_is_answer(m, dns_message_id(m), a));
	ldns_pkt *p = NULL;
	ldns_status s = ldns_wire2pkt(&p, (const uint8_t *)a.p, a.n);
	assert(s == LDNS_STATUS_OK);
	ldns_pkt_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dns_message_zone z;
	struct in_addr address = { 0 };
	struct err e;
	auto_buf struct buf answer;
	buf_init(&answer, DNS_MESSAGE_MAX_BYTES);
	if (n < 1)
		return 0;
	int r = dns_message_zone_init(&z, NAME, address, &e);
	assert(r == 0);
	/* Cut into a query and what may be its answer. */
	size_t cut = data[0];
	struct str all = { (const char *)data + 1, n - 1 };
	struct str query = str_head(all, cut), rest = str_tail(all, cut);
	check_query(&z, query, &answer);
	check_query(&z, all, &answer);
	if (dns_message_answer(&z, query, &answer) == DNS_MESSAGE_FORWARD &&
	    rest.n >= 2)
		(void)dns_message_is_answer(query, dns_message_id(rest), rest);
	dns_message_zone_fini(&z);
	return 0;
}
