#include "cli/term.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* How many bytes at p are one control character; 0 if none are. */
static size_t control(struct str s, size_t at)
{
	unsigned char c = (unsigned char)s.p[at];
	if (c < 0x20 || c == 0x7f)
		return 1;
	/* U+0080 to U+009F: C1, as powerful as ESC and a letter. */
	if (c == 0xc2 && at + 1 < s.n && (unsigned char)s.p[at + 1] < 0xa0)
		return 2;
	return 0;
}

int term_clean(struct str s, struct buf *out)
{
	size_t from = 0;
	if (!s.n)
		return buf_put(out, "", 0);
	for (size_t i = 0; i < s.n;) {
		size_t n = control(s, i);
		if (n == 0 || s.p[i] == '\n' || s.p[i] == '\t') {
			i++;
			continue;
		}
		if (buf_put(out, s.p + from, i - from))
			return BUF_FULL;
		from = i += n;
	}
	return buf_put(out, s.p + from, s.n - from);
}

char *term_cell(struct str s)
{
	auto_buf struct buf b;
	buf_init(&b, s.n);
	/* Never full: nothing gets longer. */
	if (term_clean(s, &b))
		return xstrdup("");
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\n' || b.p[i] == '\t')
			b.p[i] = ' ';
	return buf_take(&b);
}

size_t term_width(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

bool term_is_tty(void)
{
	return isatty(STDOUT_FILENO);
}

/* After a failed write: EPIPE ends us, as it would have without the signal(2)
 * in main.c, which is for sockets. Other failures are term_finish()'s. */
static void reader_gone(void)
{
	if (errno != EPIPE)
		return;
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
}

void term_put(struct str s)
{
	auto_buf struct buf b;
	buf_init(&b, s.n);
	if (term_is_tty() && term_clean(s, &b) == 0)
		s = buf_str(&b);
	if (fwrite(s.p, 1, s.n, stdout) < s.n)
		reader_gone();
}

void term_printf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n > 0)
		term_put((struct str){ text, (size_t)n });
	free(text);
}

void term_put_json(const json_t *j)
{
	auto_free char *text = json_dumps(j, JSON_INDENT(4) | JSON_ENCODE_ANY);
	term_printf("%s\n", text ? text : "null");
}

void term_flush(void)
{
	if (fflush(stdout))
		reader_gone();
}

int term_finish(struct err *e)
{
	term_flush();
	if (ferror(stdout))
		return err_set(e, ERR_SYSTEM,
			       "the output could not be written: is the disk "
			       "full?");
	return 0;
}
