#include "cli/doctor.h"
#include "cli/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MS 10000
#define DOCKER_SOCKET "/run/docker.sock"
#define PREFIX "/exp/vDD4.40"
/* linux/route.h: the kernel's flag of a route that refuses. */
#define ROUTE_REJECT 0x0200

static const char *docker_socket(const struct doctor *d)
{
	return d->has_docker_part ? d->ways.docker : DOCKER_SOCKET;
}

/* GET `path` at `base`; the answer's text in `out`. */
static int get(const char *base, const char *path, struct buf *out,
	       struct err *e)
{
	auto_(call) c = NULL;
	const struct call_request r = { .method = "GET",
					.path = path,
					.limit_ms = ANSWER_MS };
	buf_init(out, 4u << 20);
	if (call_open_url(base, &c, e))
		return -1;
	return call_text(c, &r, out, e);
}

void doctor_ways_engine(struct doctor *d)
{
	const char *path = docker_socket(d);
	auto_free char *base = xasprintf("unix:%s", path);
	auto_buf struct buf text;
	auto_json *version = NULL;
	struct err why;
	buf_init(&text, 0);
	if (access(path, F_OK) < 0) {
		doctor_skip(d, "Docker Engine: not here (there is no %s)",
			    path);
		return;
	}
	if (access(path, W_OK) < 0) {
		doctor_skip(d,
			    "Docker Engine: you may not use %s; join the "
			    "group docker, or run this with sudo",
			    path);
		return;
	}
	if (get(base, "/version", &text, &why) ||
	    json_parse(buf_str(&text), &version, &why)) {
		doctor_fail(d,
			    "Docker Engine: %s: start it (systemctl start "
			    "docker); if it runs, 'sudo docker model "
			    "disconnect' gives it its socket back",
			    why.msg);
		return;
	}
	const char *number =
		json_string_value(json_object_get(version, "Version"));
	d->has_engine = true;
	doctor_ok(d, "Docker Engine %s answers at %s", number ? number : "",
		  path);
}

/* ---- what runs for it ---- */

static void check_units(struct doctor *d)
{
	size_t n = 0, n_failed = d->n_failed;
	for (; connection_units[n]; n++) {
		if (n == CONNECTION_SOCKET_UNITS && !d->ways.takes_socket)
			break;
		auto_free char *state =
			connection_unit_state(connection_units[n]);
		if (strcmp(state, "active") != 0)
			doctor_fail(d,
				    "helper: %s is %s: 'journalctl -u %s' "
				    "says why, 'sudo docker model connect' "
				    "starts it",
				    connection_units[n], state,
				    connection_units[n]);
	}
	if (d->n_failed == n_failed)
		doctor_ok(d, "helper: %zu units are active", n);
}

/* What a connect that was cut off leaves. */
static void check_leftovers(struct doctor *d)
{
	auto_free char *netns = xasprintf("/run/netns/%s", d->ways.netns);
	const char *const things[] = { netns, d->ways.engine,
				       CONNECTION_RUN_DIR "/run.pid" };
	for (size_t i = 0; i < ARRAY_LEN(things); i++) {
		if (access(things[i], F_OK) < 0)
			continue;
		doctor_fail(d,
			    "helper: it does not run, but %s is there: "
			    "'sudo docker model connect' starts it, '... "
			    "disconnect' cleans up",
			    things[i]);
		return;
	}
	doctor_skip(d, "helper: not connected: docker model connect");
}

void doctor_ways_helper(struct doctor *d)
{
	if (!d->has_docker_part)
		doctor_skip(d, "helper: modeld-docker is not installed");
	else if (!d->ways.is_on)
		check_leftovers(d);
	else if (d->ways.pid)
		doctor_ok(d, "helper: modeld-docker run (process %d)",
			  d->ways.pid);
	else
		check_units(d);
}

/* ---- the address ---- */

static void check_answer(struct doctor *d, const char *base)
{
	auto_buf struct buf text;
	struct err why;
	buf_init(&text, 0);
	if (get(base, "/version", &text, &why) == 0)
		doctor_ok(d, "address: %s answers", base);
	else if (why.code == ERR_FORBIDDEN)
		doctor_skip(d, "address: %s: %s", base, why.msg);
	else if (!d->daemon)
		doctor_fail(d, "address: %s: modeld does not run: start it",
			    base);
	else
		doctor_fail(d,
			    "address: %s: is modeld's user '%s' (setting "
			    "\"user\" in %s)? 'docker model logs' says what "
			    "modeld has from the helper",
			    why.msg, d->ways.user, CONNECTION_CONFIG);
}

static bool has_ipv6(const char *device)
{
	char line[200], name[64];
	bool found = false;
	FILE *f = fopen("/proc/net/if_inet6", "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = sscanf(line, "%*s %*x %*x %*x %*x %63s", name) == 1 &&
			!strcmp(name, device);
	if (f)
		fclose(f);
	return found;
}

void doctor_ways_address(struct doctor *d)
{
	if (!doctor_is_for_containers(d, "address"))
		return;
	auto_free char *netns = xasprintf("/run/netns/%s", d->ways.netns);
	if (access(netns, F_OK) < 0) {
		doctor_fail(d,
			    "address: its network namespace %s is gone: sudo "
			    "docker model connect",
			    netns);
		return;
	}
	auto_free char *v4 = xasprintf("http://%s", d->ways.address);
	check_answer(d, v4);
	if (!strcmp(d->ways.address6, "off") || !has_ipv6(d->ways.device))
		return;
	auto_free char *v6 = xasprintf("http://[%s]", d->ways.address6);
	check_answer(d, v6);
}

/* A request must never leave the machine when the address is gone. */
void doctor_ways_route(struct doctor *d)
{
	struct in_addr a;
	char line[300], device[64];
	unsigned to, flags;
	bool has_device = false, has_stop = false;
	if (!doctor_is_connected(d, "route"))
		return;
	FILE *f = fopen("/proc/net/route", "re");
	if (inet_pton(AF_INET, d->ways.address, &a) != 1)
		a.s_addr = 0;
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%63s %x %*x %x", device, &to, &flags) != 3 ||
		    to != a.s_addr)
			continue;
		has_stop |= (flags & ROUTE_REJECT) != 0;
		has_device |= !strcmp(device, d->ways.device);
	}
	if (f)
		fclose(f);
	if (has_device && has_stop)
		doctor_ok(d, "route: %s by %s, and nowhere else",
			  d->ways.address, d->ways.device);
	else
		doctor_fail(d,
			    "route: the %s route to %s is gone: sudo docker "
			    "model connect",
			    has_device ? "second, unreachable," : "device",
			    d->ways.address);
}

void doctor_ways_name(struct doctor *d)
{
	struct addrinfo want = { .ai_family = AF_INET,
				 .ai_socktype = SOCK_STREAM },
			*found = NULL;
	char address[NI_MAXHOST] = "";
	if (!doctor_is_connected(d, "name"))
		return;
	if (!strcmp(d->ways.hosts, "off")) {
		doctor_skip(d, "name: not on this host (\"hosts\": \"off\")");
		return;
	}
	if (getaddrinfo(d->ways.name, NULL, &want, &found) == 0) {
		getnameinfo(found->ai_addr, found->ai_addrlen, address,
			    sizeof address, NULL, 0, NI_NUMERICHOST);
		freeaddrinfo(found);
	}
	if (!strcmp(address, d->ways.address))
		doctor_ok(d, "name: %s is %s on this host", d->ways.name,
			  address);
	else if (address[0])
		doctor_fail(d,
			    "name: %s is %s on this host, not %s: look for "
			    "another line in %s",
			    d->ways.name, address, d->ways.address,
			    d->ways.hosts);
	else
		doctor_fail(d,
			    "name: this host does not know %s: its line in "
			    "%s is gone: sudo docker model connect",
			    d->ways.name, d->ways.hosts);
}

void doctor_ways_front(struct doctor *d)
{
	auto_free char *base = xasprintf("unix:%s", docker_socket(d));
	auto_buf struct buf text;
	struct err why;
	buf_init(&text, 0);
	if (!doctor_is_connected(d, "Docker socket"))
		return;
	if (!d->ways.takes_socket)
		doctor_skip(d, "Docker socket: left to Docker (--no-socket)");
	else if (access(d->ways.docker, W_OK) < 0)
		doctor_skip(d, "Docker socket: you may not use %s",
			    d->ways.docker);
	else if (get(base, PREFIX "/version", &text, &why) == 0)
		doctor_ok(d, "Docker socket: " PREFIX " answers at %s",
			  d->ways.docker);
	else if (why.code == ERR_NOT_FOUND)
		doctor_fail(d,
			    "Docker socket: %s is the Engine's own: sudo "
			    "docker model connect",
			    d->ways.docker);
	else
		doctor_fail(d, "Docker socket: %s: sudo docker model connect",
			    why.msg);
}
