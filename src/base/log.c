#include "base/log.h"
#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* The one global of the program (style.md 2). Written at start only, before
 * other threads exist. */
static struct {
	const char *source;
	enum log_level level;
	log_sink_fn sink;
	void *sink_ctx;
} log_state = { "modeld", LOG_INFO, NULL, NULL };

static const char *const names[] = { "error", "warn", "info", "debug" };

void log_init(const char *source, enum log_level level)
{
	log_state.source = source;
	log_state.level = level;
}

void log_set_level(enum log_level level)
{
	log_state.level = level;
}

void log_set_sink(log_sink_fn fn, void *ctx)
{
	log_state.sink = fn;
	log_state.sink_ctx = ctx;
}

bool log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* Copies text into out, control characters as \xNN; gives the new length. */
static size_t escape(char *out, size_t n, size_t cap, struct str text)
{
	for (size_t i = 0; i < text.n && n + 5 < cap; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c >= 0x20 && c != 0x7f)
			out[n++] = (char)c;
		else if (c == '\t')
			out[n++] = ' ';
		else
			n += (size_t)snprintf(out + n, cap - n, "\\x%02x", c);
	}
	return n;
}

static void emit(enum log_level level, const char *source, struct str text)
{
	char line[LIMIT_LOG_LINE_BYTES];
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof line - n,
			      ".%03ldZ %s %.64s: ", now.tv_nsec / 1000000,
			      names[level], source);
	n = escape(line, n, sizeof line - 1, text);
	line[n] = '\n';
	/* One write, so that lines of several threads do not mix. A full or
	 * closed stderr must not stop the server. */
	if (write(STDERR_FILENO, line, n + 1) < 0)
		n += 0;
	if (log_state.sink)
		log_state.sink(log_state.sink_ctx, source,
			       (struct str){ line, n });
}

bool log_shows(enum log_level level)
{
	return level <= log_state.level;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	if (level > log_state.level)
		return;
	char text[LIMIT_LOG_LINE_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	emit(level, log_state.source, str_of(text));
}

/* Our own programs write lines of this very form: takes time and source off
 * such a line and gives its level, so that they do not stand there twice. */
static void unwrap(struct str *line, enum log_level *level)
{
	struct str rest = *line, word;
	if (line->n < 26 || line->p[4] != '-' || line->p[23] != 'Z')
		return;
	rest = str_tail(rest, 25);
	if (!str_split(&rest, ' ', &word) || !rest.p)
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(word, names[i]))
			*level = (enum log_level)i;
	if (str_split(&rest, ' ', &word) && rest.p)
		*line = rest;
}

void log_relay(enum log_level level, const char *source, struct str line)
{
	unwrap(&line, &level);
	if (level <= log_state.level)
		emit(level, source, line);
}
