#include "cli/doctor.h"
#include "cli/term.h"
#include "cli/waysin.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 1000

printf_like(2, 0) static void put(const char *mark, const char *fmt,
				  va_list args)
{
	char line[LINE_BYTES];
	vsnprintf(line, sizeof line, fmt, args);
	auto_free char *clean = term_cell(str_of(line));
	term_printf("%s %s\n", mark, clean);
	/* A check may take seconds; what is known is shown before it. */
	term_flush();
}

void doctor_ok(struct doctor *d, const char *fmt, ...)
{
	va_list args;
	(void)d;
	va_start(args, fmt);
	put("OK  ", fmt, args);
	va_end(args);
}

void doctor_fail(struct doctor *d, const char *fmt, ...)
{
	va_list args;
	d->n_failed++;
	va_start(args, fmt);
	put("FAIL", fmt, args);
	va_end(args);
}

void doctor_skip(struct doctor *d, const char *fmt, ...)
{
	va_list args;
	(void)d;
	va_start(args, fmt);
	put("--  ", fmt, args);
	va_end(args);
}

bool doctor_is_connected(struct doctor *d, const char *what)
{
	if (!d->has_docker_part)
		doctor_skip(d, "%s: modeld-docker is not installed", what);
	else if (!d->ways.is_on)
		doctor_skip(d, "%s: not connected: docker model connect", what);
	else
		return true;
	return false;
}

bool doctor_is_for_containers(struct doctor *d, const char *what)
{
	if (!doctor_is_connected(d, what))
		return false;
	if (!waysin_is_off(d->version))
		return true;
	doctor_skip(d,
		    "%s: off for containers; docker model enable --containers "
		    "inference lets them in",
		    what);
	return false;
}

const char *doctor_told(const struct doctor *d, const char *member)
{
	return json_string_value(json_object_get(d->version, member));
}
