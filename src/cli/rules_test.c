#include "cli/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define A "169.254.255.81"

static void expect(bool (*read)(struct str, const char *, struct buf *),
		   const char *text, const char *want)
{
	auto_buf struct buf out;
	buf_init(&out, 1000);
	bool found = read(str_of(text), A, &out);
	assert_int_equal(found, want != NULL);
	if (want)
		assert_string_equal(out.p, want);
}

static void a_network_with_the_address_in_it_is_found(void **state)
{
	static const char *const rules[] = {
		"-A DOCKER-USER -d 169.254.0.0/16 -j DROP",
		"-A FORWARD -d 169.254.0.0/16 -i docker0 -j REJECT",
		"-A X -i br-1 -d 169.254.255.81/32 -p tcp -j DROP",
		"-A X -d 169.254.255.81 -j DROP",
		"-A X -d 128.0.0.0/1 -j DROP",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		auto_free char *text = xasprintf(
			"-P FORWARD DROP\n-N DOCKER-USER\n%s\n-A Y -j RETURN\n",
			rules[i]);
		expect(rules_iptables, text, rules[i]);
	}
}

static void other_rules_are_not(void **state)
{
	static const char *const rules[] = {
		"",
		"-P FORWARD DROP",
		"-A X -d 169.254.169.254/32 -j DROP",
		"-A X ! -d 169.254.0.0/16 -j DROP",
		"-A X -s 169.254.0.0/16 -j DROP",
		"-A X -d 169.254.0.0/16 -j LOG",
		"-A X -d 169.254.0.0/16",
		"-A X -d",
		"-A X -d 169.254.0.0/33 -j DROP",
		"-A X -d 0.0.0.0/0 -j DROP",
		"-A X -j DROP",
		"-A MODELD-GUARD -d " A "/32 -j DROP",
		"-A",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		expect(rules_iptables, rules[i], NULL);
}

static void what_was_let_through_before_is_not_blocked(void **state)
{
	(void)state;
	expect(rules_iptables,
	       "-A DOCKER-USER -d " A "/32 -j ACCEPT\n"
	       "-A DOCKER-USER -d 169.254.0.0/16 -j DROP\n",
	       NULL);
	/* In another chain, or too late. */
	expect(rules_iptables,
	       "-A OTHER -d " A "/32 -j ACCEPT\n"
	       "-A DOCKER-USER -d 169.254.0.0/16 -j DROP\n"
	       "-A DOCKER-USER -d " A "/32 -j ACCEPT\n",
	       "-A DOCKER-USER -d 169.254.0.0/16 -j DROP");
}

static void nft_names_table_and_chain(void **state)
{
	static const char head[] = "table ip filter {\n\tchain FORWARD {\n"
				   "\t\ttype filter hook forward priority 0; "
				   "policy drop;\n";
	static const char *const rules[] = {
		"ip daddr 169.254.0.0/16 drop",
		"ip daddr 169.254.0.0/16 counter packets 0 bytes 0 drop",
		"ip daddr { 10.0.0.0/8, 169.254.0.0/16 } reject",
		"ip daddr 169.254.0.0-169.254.255.255 drop",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		auto_free char *text =
			xasprintf("%s\t\t%s\n\t}\n}\n", head, rules[i]);
		auto_free char *want = xasprintf(
			"table ip filter, chain FORWARD: %s", rules[i]);
		expect(rules_nft, text, want);
		/* Our own guard drops on purpose. */
		auto_free char *own = xasprintf(
			"table inet modeld {\n\tchain guard {\n\t\t%s\n\t}\n"
			"}\n",
			rules[i]);
		expect(rules_nft, own, NULL);
	}
}

static void nft_rules_that_let_it_through_are_not_found(void **state)
{
	static const char *const rules[] = {
		"ip daddr != 169.254.0.0/16 drop",
		"ip saddr 169.254.0.0/16 drop",
		"ip daddr { 10.0.0.0/8, 192.168.0.0/16 } drop",
		"ip daddr 169.254.0.0/16 accept\n\t\tip daddr " A " drop",
		"ip daddr {",
		"ip daddr",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		auto_free char *text =
			xasprintf("table ip f {\n\tchain c {\n\t\t%s\n\t}\n}\n",
				  rules[i]);
		expect(rules_nft, text, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_with_the_address_in_it_is_found),
		cmocka_unit_test(other_rules_are_not),
		cmocka_unit_test(what_was_let_through_before_is_not_blocked),
		cmocka_unit_test(nft_names_table_and_chain),
		cmocka_unit_test(nft_rules_that_let_it_through_are_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
