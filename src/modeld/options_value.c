#include "modeld/options_value.h"
#include "base/duration.h"
#include "modeld/options.h"

#include <arpa/inet.h>
#include <string.h>

int options_value_port(const char *text, int *out, struct err *e)
{
	uint64_t port;
	if (strcmp(text, "off") == 0) {
		*out = OPTIONS_PORT_OFF;
		return 0;
	}
	if (!str_to_u64(str_of(text), &port) || port > 65535)
		return err_set(e, ERR_USAGE,
			       "'%s' is not a port: a number up to 65535, or "
			       "off",
			       text);
	*out = (int)port;
	return 0;
}

int options_value_address(const char *text, struct err *e)
{
	unsigned char ip[16];
	if (strcmp(text, "localhost") == 0 ||
	    inet_pton(AF_INET, text, ip) == 1 ||
	    inet_pton(AF_INET6, text, ip) == 1)
		return 0;
	return err_set(e, ERR_USAGE,
		       "'%s' is not an address: localhost, 127.0.0.1, "
		       "192.0.2.7, 0.0.0.0 or ::",
		       text);
}

int options_value_duration(const char *text, int64_t *out_ms, struct err *e)
{
	if (duration_parse(str_of(text), out_ms))
		return 0;
	return err_set(e, ERR_USAGE,
		       "'%s' is not a duration: 5m, 1h30m, 90s, 0 or -1 (for "
		       "ever)",
		       text);
}

int options_value_size(const char *text, uint64_t *out, struct err *e)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	size_t digits = strspn(text, "0123456789");
	uint64_t n;
	int shift = 0;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(text + digits, units[i]) == 0)
			shift = 10 * (int)(i + 1);
	if ((text[digits] && !shift) ||
	    !str_to_u64((struct str){ text, digits }, &n) || !n ||
	    n > UINT64_MAX >> shift)
		return err_set(e, ERR_USAGE,
			       "'%s' is not a size: 8GiB, 900MiB or bytes",
			       text);
	*out = n << shift;
	return 0;
}

int options_value_switch(const char *text, bool *out, struct err *e)
{
	if (strcmp(text, "on") && strcmp(text, "off"))
		return err_set(e, ERR_USAGE, "'%s' is neither on nor off",
			       text);
	*out = strcmp(text, "on") == 0;
	return 0;
}

int options_value_fd(const char *text, int *out, struct err *e)
{
	uint64_t fd;
	if (!str_to_u64(str_of(text), &fd) || fd > 65535)
		return err_set(e, ERR_USAGE, "'%s' is not a file descriptor",
			       text);
	*out = (int)fd;
	return 0;
}

static const char *const mode_words[] = { [ACCESS_MODE_OFF] = "off",
					  [ACCESS_MODE_INFERENCE] = "inference",
					  [ACCESS_MODE_FULL] = "full" };

const char *options_value_mode_text(enum access_mode mode)
{
	return mode_words[mode];
}

int options_value_mode(const char *text, enum access_mode *out, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_words); i++)
		if (strcmp(text, mode_words[i]) == 0) {
			*out = (enum access_mode)i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "'%s' is not off, inference or full",
		       text);
}
