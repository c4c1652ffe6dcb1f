#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *p)
{
	if (p)
		return p;
	static const char msg[] = "out of memory\n";
	/* Nothing can be done about a failed write either. */
	if (write(STDERR_FILENO, msg, sizeof msg - 1) < 0)
		abort();
	abort();
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return checked(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? checked(NULL) : s;
}

int steal_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

void base_freep(void *p)
{
	void *mem, *none = NULL;
	memcpy(&mem, p, sizeof mem);
	memcpy(p, &none, sizeof none);
	free(mem);
}

void base_closep(int *fd)
{
	int taken = steal_fd(fd);
	if (taken >= 0)
		close(taken);
}
