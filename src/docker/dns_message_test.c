#include "docker/dns_message.h"
#include "unit/guard.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NAME "model-runner.docker.internal"
#define QNAME "\14model-runner\6docker\10internal"
#define A 1
#define SOA 6
#define AAAA 28

static struct dns_message_zone zone;
static struct buf answer;

static int set_up(void **state)
{
	struct in_addr address;
	struct err e;
	(void)state;
	inet_pton(AF_INET, "169.254.255.81", &address);
	buf_init(&answer, DNS_MESSAGE_MAX_BYTES);
	return dns_message_zone_init(&zone, NAME, address, &e);
}

static int tear_down(void **state)
{
	(void)state;
	dns_message_zone_fini(&zone);
	buf_fini(&answer);
	return 0;
}

#define HEADER(flags, qd, ar) "\x12\x34" flags "\0" qd "\0\0\0\0\0" ar
#define QUERY(name, type) \
	STR(HEADER("\1\0", "\1", "\0") name "\0\0" type "\0\1")
#define OPT(version) "\0\0\51\4\xd0\0" version "\0\0\0\0"

/* Asks, and gives what ldns makes of our answer; the caller frees it. */
static ldns_pkt *ask(struct str query)
{
	ldns_pkt *p = NULL;
	assert_int_equal(dns_message_answer(&zone, guard_place(query), &answer),
			 0);
	assert_int_equal(ldns_wire2pkt(&p, (uint8_t *)answer.p, answer.n),
			 LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_id(p), 0x1234);
	assert_true(ldns_pkt_qr(p));
	return p;
}

static void the_name_has_our_address(void **state)
{
	(void)state;
	ldns_pkt *p = ask(QUERY(QNAME, "\1"));
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_NOERROR);
	assert_true(ldns_pkt_aa(p) && ldns_pkt_rd(p) && ldns_pkt_ra(p));
	assert_false(ldns_pkt_tc(p) || ldns_pkt_edns(p));
	assert_int_equal(ldns_pkt_ancount(p), 1);
	ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), 0);
	assert_int_equal(ldns_rr_get_type(rr), A);
	assert_memory_equal(ldns_rdf_data(ldns_rr_rdf(rr, 0)),
			    "\xa9\xfe\xff\x51", 4);
	ldns_pkt_free(p);
}

static void the_question_comes_back_to_the_letter(void **state)
{
	(void)state;
	struct str q = QUERY("\14mOdEl-RuNnEr\6DOCKER\10internal", "\1");
	ldns_pkt *p = ask(q);
	assert_int_equal(ldns_pkt_ancount(p), 1);
	assert_memory_equal(answer.p + 12, q.p + 12, q.n - 12);
	ldns_pkt_free(p);
}

/* musl takes NXDOMAIN for AAAA as "there is no such name" for A too. */
static void other_types_are_no_data_and_never_nxdomain(void **state)
{
	(void)state;
	static const char types[] = { AAAA, SOA, 2, 15, 16, 33, 65, (char)255 };
	for (size_t i = 0; i < sizeof types; i++) {
		struct str q = QUERY(QNAME, "\1");
		auto_free char *copy = xcalloc(q.n, 1);
		memcpy(copy, q.p, q.n);
		copy[q.n - 3] = types[i];
		ldns_pkt *p = ask((struct str){ copy, q.n });
		bool is_any = types[i] == (char)255;
		assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_NOERROR);
		assert_int_equal(ldns_pkt_ancount(p), is_any);
		assert_int_equal(ldns_pkt_nscount(p), !is_any);
		if (!is_any)
			assert_int_equal(ldns_rr_get_type(ldns_rr_list_rr(
						 ldns_pkt_authority(p), 0)),
					 SOA);
		ldns_pkt_free(p);
	}
}

static void edns_is_answered_with_edns(void **state)
{
	(void)state;
	ldns_pkt *p = ask(
		STR(HEADER("\1\0", "\1", "\1") QNAME "\0\0\1\0\1" OPT("\0")));
	assert_true(ldns_pkt_edns(p));
	assert_int_equal(ldns_pkt_edns_udp_size(p), 1232);
	assert_int_equal(ldns_pkt_ancount(p), 1);
	ldns_pkt_free(p);
	p = ask(STR(HEADER("\1\0", "\1", "\1") QNAME "\0\0\1\0\1" OPT("\7")));
	assert_int_equal(ldns_pkt_edns_extended_rcode(p), 1);
	assert_int_equal(ldns_pkt_edns_version(p), 0);
	assert_int_equal(ldns_pkt_ancount(p), 0);
	ldns_pkt_free(p);
}

static void other_names_are_passed_on(void **state)
{
	(void)state;
	static const struct str others[] = {
		STR(HEADER("\1\0", "\1", "\0") "\7example\3com\0\0\1\0\1"),
		STR(HEADER("\1\0", "\1", "\0") "\0\0\2\0\1"),
		STR(HEADER("\1\0", "\1", "\0") "\1x" QNAME "\0\0\1\0\1"),
		STR(HEADER("\1\0", "\1", "\0") "\10internal\0\0\1\0\1"),
		/* What follows the question is not ours to judge. */
		STR(HEADER("\1\0", "\1", "\7") "\7example\3com\0\0\1\0\1\xff"),
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(dns_message_answer(&zone,
						    guard_place(others[i]),
						    &answer),
				 DNS_MESSAGE_FORWARD);
}

static void what_is_no_query_is_dropped(void **state)
{
	(void)state;
	struct str q = QUERY(QNAME, "\1");
	for (size_t n = 0; n < 12; n++)
		assert_int_equal(dns_message_answer(&zone,
						    guard_place(str_head(q, n)),
						    &answer),
				 DNS_MESSAGE_DROP);
	/* An answer, or two programs could send each other errors for ever. */
	assert_int_equal(dns_message_answer(&zone,
					    STR(HEADER("\x81\0", "\1", "\0")
							QNAME "\0\0\1\0\1"),
					    &answer),
			 DNS_MESSAGE_DROP);
}

static void assert_rcode(struct str query, unsigned rcode)
{
	assert_int_equal(dns_message_answer(&zone, guard_place(query), &answer),
			 0);
	assert_true(answer.n >= 12);
	assert_int_equal(answer.p[3] & 15, rcode);
	assert_true(answer.p[2] & 0x80);
	assert_memory_equal(answer.p, query.p, 2);
}

static void a_malformed_query_is_told_so(void **state)
{
	(void)state;
	struct str q = QUERY(QNAME, "\1");
	for (size_t n = 12; n < q.n; n++)
		assert_rcode(str_head(q, n), LDNS_RCODE_FORMERR);
	assert_rcode(STR(HEADER("\1\0", "\0", "\0")), LDNS_RCODE_FORMERR);
	assert_rcode(STR(HEADER("\1\0", "\2", "\0") QNAME "\0\0\1\0\1" QNAME
							  "\0\0\1\0\1"),
		     LDNS_RCODE_FORMERR);
	/* A name that points at itself, one that points into the header. */
	assert_rcode(STR(HEADER("\1\0", "\1", "\0") "\xc0\x0c\0\1\0\1"),
		     LDNS_RCODE_FORMERR);
	assert_rcode(STR(HEADER("\1\0", "\1", "\0") "\xc0\x04\0\1\0\1"),
		     LDNS_RCODE_FORMERR);
	/* Our name, and an OPT record that is cut. */
	assert_rcode(STR(HEADER("\1\0", "\1", "\1") QNAME "\0\0\1\0\1\0\0\51"),
		     LDNS_RCODE_FORMERR);
	/* A zone transfer notice, an update; another class. */
	assert_rcode(STR(HEADER("\x20\0", "\1", "\0") QNAME "\0\0\1\0\1"),
		     LDNS_RCODE_NOTIMPL);
	assert_rcode(STR(HEADER("\x28\0", "\1", "\0") "\1x\0\0\6\0\1"),
		     LDNS_RCODE_NOTIMPL);
	assert_rcode(STR(HEADER("\1\0", "\1", "\0") QNAME "\0\0\1\0\3"),
		     LDNS_RCODE_REFUSED);
}

static void a_refusal_has_the_question(void **state)
{
	(void)state;
	struct str q = STR(HEADER("\1\0", "\1",
				  "\1") "\7example\3com\0\0\1\0\1" OPT("\0"));
	dns_message_refuse(q, LDNS_RCODE_SERVFAIL, &answer);
	assert_int_equal(answer.n, q.n - 11);
	assert_memory_equal(answer.p, "\x12\x34\x81\x82\0\1\0\0\0\0\0\0", 12);
	assert_memory_equal(answer.p + 12, q.p + 12, answer.n - 12);
}

static bool fits(struct str q, struct str a)
{
	return dns_message_is_answer(q, 0x1234, guard_place(a));
}

#define EXAMPLE "\7example\3com\0\0\1\0\1"
#define OTHER "\7examplf\3com\0\0\1\0\1"

static void only_the_answer_to_the_question_is_believed(void **state)
{
	(void)state;
	struct str q = STR(HEADER("\1\0", "\1", "\0") EXAMPLE);
	assert_true(fits(q, STR(HEADER("\x81\x80", "\1", "\0") EXAMPLE)));
	assert_true(fits(q, STR(HEADER("\x81\x83", "\1", "\0") EXAMPLE)));
	assert_true(fits(q, STR(HEADER("\x83\x80", "\1", "\0") EXAMPLE "x")));
	assert_false(dns_message_is_answer(
		q, 0x1235, STR(HEADER("\x81\x80", "\1", "\0") EXAMPLE)));
	assert_false(fits(q, q));
	assert_false(fits(q, STR(HEADER("\x81\x80", "\1", "\0") OTHER)));
	assert_false(fits(q, STR(HEADER("\x81\x80", "\1",
					"\0") "\7Example\3com\0\0\1\0\1")));
	assert_false(fits(q, STR(HEADER("\x81\x80", "\1",
					"\0") "\7example\3com\0\0\2\0\1")));
	assert_false(fits(q, STR(HEADER("\x81\x80", "\2", "\0") EXAMPLE)));
	assert_false(fits(q, STR(HEADER("\x81\x80", "\1", "\0"))));
	assert_false(fits(q, STR("\x12\x34\x81")));
	/* Without a question it can only say that it did not understand. */
	assert_true(fits(q, STR(HEADER("\x81\x81", "\0", "\0"))));
	assert_false(fits(q, STR(HEADER("\x81\x80", "\0", "\0"))));
	assert_false(fits(q, STR(HEADER("\x81\x83", "\0", "\0"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_has_our_address),
		cmocka_unit_test(the_question_comes_back_to_the_letter),
		cmocka_unit_test(other_types_are_no_data_and_never_nxdomain),
		cmocka_unit_test(edns_is_answered_with_edns),
		cmocka_unit_test(other_names_are_passed_on),
		cmocka_unit_test(what_is_no_query_is_dropped),
		cmocka_unit_test(a_malformed_query_is_told_so),
		cmocka_unit_test(a_refusal_has_the_question),
		cmocka_unit_test(only_the_answer_to_the_question_is_believed),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
