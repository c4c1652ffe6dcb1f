#include "docker/networks.h"
#include "base/buf.h"
#include "docker/containers.h"
#include "docker/guard.h"
#include "docker/guard_iptables.h"
#include "docker/setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int read_text(const char *text, struct networks *out, struct err *e)
{
	auto_json *j = json_loads(text, 0, NULL);
	auto_json *open = json_pack("[s]", "opened");
	struct setup s = { .internal = open };
	assert_non_null(j);
	return networks_read(j, &s, out, e);
}

static void get(const char *text, struct networks *out)
{
	struct err e;
	if (read_text(text, out, &e))
		fail_msg("%s", e.msg);
}

#define NETWORK(name, more)                                              \
	"{\"Name\":\"" name "\",\"Id\":\"" ID "\",\"Driver\":\"bridge\"" \
	"," more "}"
#define SUBNET                                                 \
	"\"IPAM\":{\"Config\":[{\"Subnet\":\"172.20.0.0/16\"," \
	"\"Gateway\":\"172.20.0.1\"}]}"

static void a_network_is_read_with_its_device_and_subnets(void **state)
{
	struct networks n;
	(void)state;
	get("[" NETWORK("user", SUBNET ",\"Internal\":false") "]", &n);
	assert_int_equal(n.n, 1);
	assert_string_equal(n.all[0].bridge, "br-0123456789ab");
	assert_string_equal(n.all[0].subnets[0].cidr, "172.20.0.0/16");
	assert_string_equal(networks_gateway(&n.all[0]), "172.20.0.1");
	assert_false(n.all[0].is_internal);
	assert_null(networks_default(&n));
	networks_fini(&n);
	get("[" NETWORK("bridge", SUBNET
			",\"Options\":{\"com.docker.network.bridge.name\":"
			"\"docker0\",\"com.docker.network.bridge.default_"
			"bridge\":\"true\"}") "]",
	    &n);
	assert_ptr_equal(networks_default(&n), &n.all[0]);
	assert_string_equal(n.all[0].bridge, "docker0");
	networks_fini(&n);
}

static void only_named_internal_networks_are_open(void **state)
{
	struct networks n;
	(void)state;
	get("[" NETWORK("opened", "\"Internal\":true") "," NETWORK(
		    "other", "\"Internal\":true") "," NETWORK("open2",
							      "\"Internal\":"
							      "false") "]",
	    &n);
	for (size_t i = 0; i < n.n; i++)
		assert_int_equal(n.all[i].is_open,
				 strcmp(n.all[i].name, "opened") == 0);
	networks_fini(&n);
}

/* Users of the Engine choose them, and they would stand in our rules. */
static void what_cannot_stand_in_a_rule_is_left_out(void **state)
{
	static const char *const bridges[] = {
		"x\\\" accept; drop", "a b", "br-*", "br-+", "a/b", "a\\nb",
		"sixteen-letters-"
	};
	static const char *const subnets[] = { "172.20.0.0",	"172.20.0.0/33",
					       "172.20.0.0/0",	"1.2.3.4/8; x",
					       "::/129",	"/",
					       "172.20.0.0/-1", "300.1.1.1/8" };
	struct networks n;
	char text[600];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bridges); i++) {
		snprintf(text, sizeof text,
			 "[" NETWORK("x", "\"Options\":{\"com.docker.network."
					  "bridge.name\":\"%s\"}") "]",
			 bridges[i]);
		get(text, &n);
		assert_int_equal(n.n, 0);
		networks_fini(&n);
	}
	for (size_t i = 0; i < ARRAY_LEN(subnets); i++) {
		snprintf(text, sizeof text,
			 "[" NETWORK("x", "\"IPAM\":{\"Config\":[{\"Subnet\":"
					  "\"%s\"}]}") "]",
			 subnets[i]);
		get(text, &n);
		assert_int_equal(n.n, 1);
		assert_int_equal(n.all[0].n_subnets, 0);
		networks_fini(&n);
	}
}

static void other_drivers_and_nonsense_are_told_apart(void **state)
{
	struct networks n;
	struct err e;
	(void)state;
	get("[{\"Name\":\"host\",\"Id\":\"x\",\"Driver\":\"host\"}]", &n);
	assert_int_equal(n.n, 0);
	networks_fini(&n);
	assert_int_equal(read_text("{}", &n, &e), -1);
	assert_int_equal(read_text("[{\"Driver\":1}]", &n, &e), -1);
	assert_int_equal(read_text("[{\"Driver\":\"bridge\"}]", &n, &e), -1);
}

static void subnets_beyond_the_ceiling_are_left_out(void **state)
{
	auto_json *config = json_array();
	struct setup s = { 0 };
	struct err e;
	(void)state;
	for (int i = 0; i < LIMIT_NETWORK_SUBNETS + 1; i++) {
		auto_json *subnet = json_pack("{s:o}", "Subnet",
					      json_sprintf("10.%d.0.0/16", i));
		json_array_append(config, subnet);
		auto_json *all =
			json_pack("[{ss ss ss s{sO}}]", "Name", "x", "Id", ID,
				  "Driver", "bridge", "IPAM", "Config", config);
		struct networks n;
		assert_int_equal(networks_read(all, &s, &n, &e), 0);
		assert_int_equal(n.all[0].n_subnets,
				 MIN(i + 1, LIMIT_NETWORK_SUBNETS));
		networks_fini(&n);
	}
}

static bool is_in(const struct networks *n, const char *address)
{
	struct in6_addr a;
	assert_true(containers_parse(str_of(address), &a));
	return networks_find(n, &a) != NULL;
}

static void an_address_finds_its_network(void **state)
{
	struct networks n, copy;
	(void)state;
	get("[" NETWORK("x", "\"IPAM\":{\"Config\":[{\"Subnet\":"
			     "\"10.1.2.128/25\"},{\"Subnet\":\"fd00:1::/33\"}]"
			     "}") "]",
	    &n);
	assert_true(is_in(&n, "10.1.2.128"));
	assert_true(is_in(&n, "10.1.2.255"));
	assert_false(is_in(&n, "10.1.2.127"));
	assert_false(is_in(&n, "10.1.3.129"));
	assert_true(is_in(&n, "fd00:1:7fff::1"));
	assert_false(is_in(&n, "fd00:1:8000::1"));
	networks_copy(&n, &copy);
	assert_true(networks_equal(&n, &copy));
	copy.all[0].is_internal = true;
	assert_false(networks_equal(&n, &copy));
	networks_fini(&copy);
	networks_fini(&n);
}

static void the_rules_hold_what_the_networks_need(void **state)
{
	struct networks n;
	struct setup s = { .address = (char *)"169.254.255.81",
			   .address6 = (char *)"off" };
	struct ends ends;
	struct err e;
	auto_buf struct buf b, old;
	buf_init(&b, LIMIT_GUARD_BYTES);
	buf_init(&old, LIMIT_GUARD_BYTES);
	(void)state;
	get("[" NETWORK("opened", "\"Internal\":true," SUBNET) "]", &n);
	assert_int_equal(ends_read(&s, &ends, &e), 0);
	struct guard_rules r = { &ends, "modeld0", &n, "172.17.0.1:12434" };
	guard_text(&r, &b);
	assert_non_null(strstr(b.p, "open iifname \"br-0123456789ab\" ip daddr "
				    "172.20.0.1 tcp dport 80 dnat ip to "
				    "172.17.0.1:12434"));
	assert_null(strstr(b.p, "ip6"));
	assert_null(strstr(b.p, "masquerade\n"));
	guard_iptables_text(&r, false, &old);
	assert_non_null(strstr(old.p, "--to-destination 172.17.0.1:12434"));
	n.all[0].is_internal = n.all[0].is_open = false;
	buf_clear(&b);
	guard_text(&r, &b);
	assert_non_null(strstr(b.p, "ip saddr 172.20.0.0/16 masquerade\n"));
	assert_null(strstr(b.p, "dnat"));
	/* Without networks what they need is not touched. */
	r.networks = NULL;
	buf_clear(&b);
	guard_text(&r, &b);
	assert_null(strstr(b.p, "flush chain inet modeld subnets"));
	networks_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_is_read_with_its_device_and_subnets),
		cmocka_unit_test(only_named_internal_networks_are_open),
		cmocka_unit_test(what_cannot_stand_in_a_rule_is_left_out),
		cmocka_unit_test(other_drivers_and_nonsense_are_told_apart),
		cmocka_unit_test(subnets_beyond_the_ceiling_are_left_out),
		cmocka_unit_test(an_address_finds_its_network),
		cmocka_unit_test(the_rules_hold_what_the_networks_need),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
