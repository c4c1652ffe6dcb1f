/* dns_tcp.h - the same as dns_udp.h for clients that ask by TCP (RFC 7766): one
 * connection may ask many questions, and what is passed on goes by TCP too. */
#pragma once
#include "docker/dns_priv.h"

struct dns_tcp;

/* Takes the listening socket in every case. `core` is borrowed. */
must_use int dns_tcp_new(struct dns_core *core, int fd, struct dns_tcp **out,
			 struct err *e);
void dns_tcp_free(struct dns_tcp *t);
BASE_AUTO(dns_tcp);
