#include "cli/lineedit.h"
#include "base/buf.h"
#include "base/limits.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <libgen.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 100
#define HISTORY_BYTES (1u << 20)
/* Longer than a terminal takes between two pieces of a paste, shorter than a
 * person between two keys. */
#define PASTE_MS 30

struct lineedit {
	EditLine *el;
	HistoryW *history;
	wchar_t *prompt;    /* owned */
	struct buf line;    /* the last one, as UTF-8 */
	char *history_file; /* owned; NULL: none */
	bool is_interrupted;
};

static wchar_t *show_prompt(EditLine *el)
{
	struct lineedit *l = NULL;
	el_get(el, EL_CLIENTDATA, &l);
	return l->prompt;
}

static unsigned char on_interrupt(EditLine *el, wint_t key)
{
	struct lineedit *l = NULL;
	(void)key;
	el_get(el, EL_CLIENTDATA, &l);
	l->is_interrupted = true;
	return CC_NEWLINE;
}

/* UTF-8 to wide characters, which libedit works with; the caller frees it.
 * NULL if the locale cannot show it. */
static wchar_t *widen(const char *text)
{
	size_t n = mbstowcs(NULL, text, 0);
	if (n == (size_t)-1)
		return NULL;
	wchar_t *wide = xcalloc(n + 1, sizeof *wide);
	mbstowcs(wide, text, n + 1);
	return wide;
}

/* glibc's wide characters are Unicode code points in every locale. */
static int put_utf8(struct buf *out, wchar_t c)
{
	unsigned u = (unsigned)c;
	char b[4];
	if (u < 0x80) {
		b[0] = (char)u;
		return buf_put(out, b, 1);
	}
	if (u < 0x800) {
		b[0] = (char)(0xc0 | u >> 6);
		b[1] = (char)(0x80 | (u & 0x3f));
		return buf_put(out, b, 2);
	}
	if (u < 0x10000) {
		b[0] = (char)(0xe0 | u >> 12);
		b[1] = (char)(0x80 | (u >> 6 & 0x3f));
		b[2] = (char)(0x80 | (u & 0x3f));
		return buf_put(out, b, 3);
	}
	b[0] = (char)(0xf0 | u >> 18);
	b[1] = (char)(0x80 | (u >> 12 & 0x3f));
	b[2] = (char)(0x80 | (u >> 6 & 0x3f));
	b[3] = (char)(0x80 | (u & 0x3f));
	return buf_put(out, b, 4);
}

static void enter(struct lineedit *l, const char *line)
{
	auto_free wchar_t *wide = widen(line);
	HistEventW ev;
	if (wide)
		history_w(l->history, &ev, H_ENTER, wide);
}

/* A line each, as Docker Model Runner's CLI writes it. */
static void load_history(struct lineedit *l)
{
	auto_free char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f = l->history_file ? fopen(l->history_file, "re") : NULL;
	if (!f)
		return;
	while ((n = getline(&line, &cap, f)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		enter(l, line);
	}
	fclose(f);
}

static int put_history(struct lineedit *l, struct buf *out)
{
	HistEventW ev;
	/* H_LAST is the oldest. */
	for (int r = history_w(l->history, &ev, H_LAST); r != -1;
	     r = history_w(l->history, &ev, H_PREV)) {
		for (const wchar_t *p = ev.str; *p; p++)
			if (put_utf8(out, *p))
				return BUF_FULL;
		if (buf_puts(out, "\n"))
			return BUF_FULL;
	}
	return 0;
}

static void make_folder(const char *file)
{
	auto_free char *copy = xstrdup(file);
	auto_free char *upper = xstrdup(file);
	/* ~/.docker, then ~/.docker/model; one that is there is fine. */
	mkdir(dirname(dirname(upper)), 0700);
	mkdir(dirname(copy), 0700);
}

static void save_history(struct lineedit *l)
{
	auto_buf struct buf text;
	auto_free char *temporary = xasprintf("%s.new", l->history_file);
	buf_init(&text, HISTORY_BYTES);
	if (put_history(l, &text))
		return;
	make_folder(l->history_file);
	auto_close int fd =
		open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, text.p, text.n) == (ssize_t)text.n)
		rename(temporary, l->history_file);
	else
		unlink(temporary);
}

/* "C" cannot show what people write; their terminals mostly can. */
static void set_charset(void)
{
	if (!setlocale(LC_CTYPE, "") ||
	    !strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968"))
		setlocale(LC_CTYPE, "C.UTF-8");
}

static void set_keys(EditLine *el)
{
	el_set(el, EL_EDITOR, "emacs");
	el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_set(el, EL_BIND, "^W", "ed-delete-prev-word", NULL);
	el_source(el, NULL); /* the user's ~/.editrc */
	el_wset(el, EL_ADDFN, L"chat-interrupt", L"Drop the line",
		on_interrupt);
	/* Ctrl-C is a key while a line is edited, and no signal: docker, our
	 * parent, would count it against us. */
	el_set(el, EL_SETTY, "-d", "intr=", NULL);
	el_set(el, EL_BIND, "^C", "chat-interrupt", NULL);
	/* Between two lines nothing typed is shown: an answer is. */
	el_set(el, EL_SETTY, "-x", "-echo", NULL);
}

int lineedit_open(const char *history_file, struct lineedit **out,
		  struct err *e)
{
	auto_(lineedit) l = xcalloc(1, sizeof *l);
	HistEventW ev;
	/* A prompt does not belong into a file or pipe. */
	FILE *shown = isatty(STDOUT_FILENO) ? stdout : stderr;
	set_charset();
	buf_init(&l->line, LIMIT_INFER_BODY_BYTES);
	l->history_file = history_file ? xstrdup(history_file) : NULL;
	l->el = el_init("docker-model", stdin, shown, stderr);
	l->history = history_winit();
	if (!l->el || !l->history)
		return err_set(e, ERR_SYSTEM, "the terminal cannot be used");
	history_w(l->history, &ev, H_SETSIZE, HISTORY_LINES);
	history_w(l->history, &ev, H_SETUNIQUE, 1);
	el_set(l->el, EL_CLIENTDATA, l);
	el_set(l->el, EL_SIGNAL, 1);
	el_wset(l->el, EL_PROMPT, show_prompt);
	el_wset(l->el, EL_HIST, history_w, l->history);
	set_keys(l->el);
	load_history(l);
	*out = steal(&l);
	return 0;
}

void lineedit_free(struct lineedit *l)
{
	if (!l)
		return;
	if (l->history)
		history_wend(l->history);
	if (l->el)
		el_end(l->el);
	buf_fini(&l->line);
	free(l->prompt);
	free(l->history_file);
	free(l);
}

int lineedit_read(struct lineedit *l, const char *prompt, struct str *line)
{
	int n = 0;
	free(l->prompt);
	l->prompt = widen(prompt);
	l->is_interrupted = false;
	buf_clear(&l->line);
	const wchar_t *typed = el_wgets(l->el, &n);
	if (l->is_interrupted)
		return LINEEDIT_INTERRUPT;
	if (!typed || n <= 0)
		return LINEEDIT_END;
	for (int i = 0; i < n && typed[i] != L'\n'; i++)
		if (put_utf8(&l->line, typed[i]))
			break;
	*line = buf_str(&l->line);
	return 0;
}

bool lineedit_is_pending(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	return poll(&in, 1, PASTE_MS) == 1 && (in.revents & POLLIN);
}

void lineedit_remember(struct lineedit *l, struct str line)
{
	auto_free char *text = str_dup(line);
	if (!*text)
		return;
	enter(l, text);
	if (l->history_file)
		save_history(l);
}
