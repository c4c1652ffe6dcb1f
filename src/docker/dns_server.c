#include "docker/dns_server.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define DNS_PORT 53

socklen_t dns_server_length(const struct sockaddr *a)
{
	return a->sa_family == AF_INET ? sizeof(struct sockaddr_in)
				       : sizeof(struct sockaddr_in6);
}

bool dns_server_same(const struct sockaddr *a, const struct sockaddr *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
		       a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) ==
		       0;
}

/* ---- text ---- */

void dns_server_text(const struct sockaddr *a, char *out, size_t n)
{
	const struct sockaddr_in *a4 = (const void *)a;
	const struct sockaddr_in6 *a6 = (const void *)a;
	char ip[INET6_ADDRSTRLEN] = "", zone[IF_NAMESIZE + 1] = "";
	if (a->sa_family == AF_INET) {
		inet_ntop(AF_INET, &a4->sin_addr, ip, sizeof ip);
		snprintf(out, n, "%s:%d", ip, ntohs(a4->sin_port));
		return;
	}
	inet_ntop(AF_INET6, &a6->sin6_addr, ip, sizeof ip);
	if (a6->sin6_scope_id && if_indextoname(a6->sin6_scope_id, zone + 1))
		zone[0] = '%';
	snprintf(out, n, "[%s%s]:%d", ip, zone, ntohs(a6->sin6_port));
}

static bool make_address(const char *ip, int port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	/* libuv's takes a zone too: fe80::1%eth0. */
	return uv_ip4_addr(ip, port, (struct sockaddr_in *)out) == 0 ||
	       uv_ip6_addr(ip, port, (struct sockaddr_in6 *)out) == 0;
}

int dns_server_parse(const char *text, int default_port,
		     struct sockaddr_storage *out, struct err *e)
{
	struct str ip = str_of(text), rest = { "", 0 };
	uint64_t port = (uint64_t)default_port;
	if (make_address(text, default_port, out))
		return 0;
	ptrdiff_t end =
		str_starts(ip, "[") ? str_find(ip, ']') : str_find(ip, ':');
	if (end >= 0 && text[0] == '[') {
		rest = str_tail(ip, (size_t)end + 1);
		ip = str_tail(str_head(ip, (size_t)end), 1);
	} else if (end >= 0) {
		rest = str_tail(ip, (size_t)end);
		ip = str_head(ip, (size_t)end);
	}
	auto_free char *address = str_dup(ip);
	bool has_port = str_starts(rest, ":");
	if ((rest.n && !has_port) ||
	    (has_port && (!str_to_u64(str_tail(rest, 1), &port) || !port ||
			  port > 65535)) ||
	    !make_address(address, (int)port, out))
		return err_set(e, ERR_USAGE,
			       "'%s' is no address; write it as 1.2.3.4:53 or "
			       "[fd00::1]:53",
			       text);
	return 0;
}

/* ---- resolv.conf ---- */

static bool take_line(struct str line, const struct dns_server *s,
		      struct sockaddr_storage *out)
{
	struct str word;
	line = str_trim(line);
	if (!str_starts(line, "nameserver"))
		return false;
	line = str_tail(line, strlen("nameserver"));
	if (!line.n || (line.p[0] != ' ' && line.p[0] != '\t'))
		return false;
	line = str_trim(line);
	for (size_t i = 0; i < line.n; i++)
		if (strchr(" \t\r#;", line.p[i]))
			line = str_head(line, i);
	word = line;
	auto_free char *ip = str_dup(word);
	return make_address(ip, DNS_PORT, out) &&
	       !dns_server_same((const struct sockaddr *)out,
				(const struct sockaddr *)&s->self);
}

static bool read_resolv(const struct dns_server *s,
			struct sockaddr_storage *out)
{
	auto_close int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf text;
	buf_init(&text, LIMIT_DNS_RESOLV_BYTES);
	/* What cannot be read, or is too much, names no server. */
	(void)!(fd >= 0 && buf_read(&text, fd));
	struct str rest = buf_str(&text), line;
	while (str_split(&rest, '\n', &line))
		if (take_line(line, s, out))
			return true;
	return false;
}

static void look(struct dns_server *s)
{
	struct stat now = { 0 };
	if (stat(RESOLV_CONF, &now) == 0 && s->seen.st_ino == now.st_ino &&
	    s->seen.st_size == now.st_size &&
	    s->seen.st_mtim.tv_sec == now.st_mtim.tv_sec &&
	    s->seen.st_mtim.tv_nsec == now.st_mtim.tv_nsec)
		return;
	s->seen = now;
	s->is_known = read_resolv(s, &s->address);
	if (!s->is_known && !s->is_told)
		log_warn("no DNS server to pass questions on to; name one in "
			 "/etc/resolv.conf, or with --upstream");
	s->is_told = !s->is_known;
}

int dns_server_init(struct dns_server *s, const char *upstream,
		    const struct sockaddr_storage *self, struct err *e)
{
	*s = (struct dns_server){ .self = *self, .is_fixed = upstream != NULL };
	if (!upstream) {
		look(s);
		return 0;
	}
	if (dns_server_parse(upstream, DNS_PORT, &s->address, e))
		return err_wrap(e, "--upstream");
	if (dns_server_same((struct sockaddr *)&s->address,
			    (struct sockaddr *)&s->self))
		return err_set(e, ERR_USAGE,
			       "--upstream %s: that is where we answer; name "
			       "another DNS server",
			       upstream);
	s->is_known = true;
	return 0;
}

const struct sockaddr *dns_server_get(struct dns_server *s, uint64_t now_ms)
{
	if (!s->is_fixed && now_ms - s->looked_ms >= LIMIT_DNS_RESOLV_MS) {
		s->looked_ms = now_ms;
		look(s);
	}
	return s->is_known ? (const struct sockaddr *)&s->address : NULL;
}
