/* dns_server.h - to which DNS server questions are passed on: the one of the
 * settings, or the first of /etc/resolv.conf that is not ourselves. */
#pragma once
#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct dns_server {
	struct sockaddr_storage self; /* where we answer */
	bool is_fixed;		      /* by the settings */
	bool is_known;
	bool is_told; /* that there is none */
	struct sockaddr_storage address;
	struct stat seen; /* resolv.conf as it was read */
	uint64_t looked_ms;
};

/* "IP", "IP:PORT", "[IP6]" or "[IP6]:PORT". */
must_use int dns_server_parse(const char *text, int default_port,
			      struct sockaddr_storage *out, struct err *e);
/* `upstream` is the setting, or NULL. */
must_use int dns_server_init(struct dns_server *s, const char *upstream,
			     const struct sockaddr_storage *self,
			     struct err *e);
/* The server now; NULL if there is none. `now_ms` is timer_now_ms(). */
const struct sockaddr *dns_server_get(struct dns_server *s, uint64_t now_ms);
/* "1.2.3.4:53", "[fd00::1]:53". */
void dns_server_text(const struct sockaddr *a, char *out, size_t n);
socklen_t dns_server_length(const struct sockaddr *a);
/* Address and port; families may differ. */
bool dns_server_same(const struct sockaddr *a, const struct sockaddr *b);
