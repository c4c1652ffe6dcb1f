#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int status;
	const char *type;
	int exit_status;
} codes[] = {
#define ERR(name, status, type, exit_status) { status, type, exit_status },
#include "base/err_codes.h"
#undef ERR
};

/* snprintf may have cut a UTF-8 sequence; drop what is left of it. */
static void trim(char *s)
{
	size_t n = strlen(s);
	size_t i = n;
	while (i > 0 && n - i < 4 && ((unsigned char)s[i - 1] & 0xc0) == 0x80)
		i--;
	if (i == 0)
		return;
	unsigned char lead = (unsigned char)s[i - 1];
	size_t want = lead >= 0xf0   ? 4
		      : lead >= 0xe0 ? 3
		      : lead >= 0xc0 ? 2
				     : 1;
	if (n - (i - 1) < want)
		s[i - 1] = '\0';
}

static printf_like(3, 0) void set(struct err *e, enum err_code code,
				  const char *fmt, va_list ap)
{
	e->code = code;
	e->param[0] = '\0';
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	trim(e->msg);
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set(e, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_field(struct err *e, const char *param, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set(e, ERR_INVALID, fmt, ap);
	va_end(ap);
	return err_at(e, param);
}

int err_at(struct err *e, const char *param)
{
	snprintf(e->param, sizeof e->param, "%s", param);
	return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;
	va_start(ap, fmt);
	set(e, ERR_SYSTEM, fmt, ap);
	va_end(ap);
	size_t n = strlen(e->msg);
	snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(saved));
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char was[sizeof e->msg];
	memcpy(was, e->msg, sizeof was);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	size_t n = strlen(e->msg);
	snprintf(e->msg + n, sizeof e->msg - n, ": %s", was);
	trim(e->msg);
	return -1;
}

/* Does an absolute path start at s[i]? URLs and names like ai/x do not. */
static bool starts_path(const char *s, size_t i)
{
	if (s[i] != '/' || strchr("/ :'\"`,;)>]", s[i + 1]))
		return false;
	return i == 0 || strchr(" '\"`(=,:<[", s[i - 1]);
}

bool err_hide_paths(struct err *e)
{
	char *s = e->msg, *to = s;
	bool found = false;
	for (size_t i = 0; s[i];) {
		if (!starts_path(s, i)) {
			*to++ = s[i++];
			continue;
		}
		char quote[] = { i ? s[i - 1] : ' ', '\0' };
		bool is_quoted = strchr("'\"`", quote[0]);
		size_t n = strcspn(s + i, is_quoted ? quote : " :'\"`,;)>]");
		while (n && s[i + n - 1] == '/')
			n--;
		size_t last = i + n;
		while (s[last - 1] != '/')
			last--;
		memmove(to, s + last, i + n - last);
		to += i + n - last;
		i += n;
		found = true;
	}
	*to = '\0';
	return found;
}

int err_http_status(enum err_code code)
{
	return codes[code].status;
}

const char *err_api_type(enum err_code code)
{
	return codes[code].type;
}

int err_exit_status(enum err_code code)
{
	return codes[code].exit_status;
}
