#include "cli/lineedit.h"
#include "base/buf.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <libgen.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_LINES 100
#define HISTORY_BYTES (1u << 20)
/* Longer than a terminal takes between two pieces of a paste, shorter than a
 * person between two keys. */
#define PASTE_MS 30

struct lineedit {
	EditLine *el;	    /* owned */
	History *history;   /* owned */
	const char *prompt; /* borrowed for one read */
	char *history_file; /* owned; NULL: none */
	bool is_interrupted;
};

static char *show_prompt(EditLine *el)
{
	struct lineedit *l = NULL;
	el_get(el, EL_CLIENTDATA, &l);
	/* libedit only reads it. */
	return (char *)(uintptr_t)l->prompt;
}

static unsigned char on_interrupt(EditLine *el, wint_t key)
{
	struct lineedit *l = NULL;
	(void)key;
	el_get(el, EL_CLIENTDATA, &l);
	l->is_interrupted = true;
	return CC_NEWLINE;
}

/* As the terminal would: to the whole group, docker included. libedit's
 * handler puts the terminal in order before and after. */
static unsigned char on_suspend(EditLine *el, wint_t key)
{
	(void)el;
	(void)key;
	kill(0, SIGTSTP);
	return CC_REDISPLAY;
}

static void enter(struct lineedit *l, const char *line)
{
	HistEvent ev;
	history(l->history, &ev, H_ENTER, line);
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
	HistEvent ev;
	/* H_LAST is the oldest. */
	for (int r = history(l->history, &ev, H_LAST); r != -1;
	     r = history(l->history, &ev, H_PREV)) {
		if (buf_printf(out, "%s\n", ev.str))
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

/* What is typed goes into JSON, and answers come as UTF-8: a terminal of
 * another charset would show them wrong anyway, and "C" mostly means that
 * nobody chose. */
static void set_charset(void)
{
	if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8"))
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
	el_wset(el, EL_ADDFN, L"chat-suspend", L"Stop the program", on_suspend);
	/* Ctrl-C is a key while a line is edited, and no signal: docker, our
	 * parent, would count it against us. */
	el_set(el, EL_SETTY, "-d", "-isig", NULL);
	el_set(el, EL_BIND, "^C", "chat-interrupt", NULL);
	el_set(el, EL_BIND, "^Z", "chat-suspend", NULL);
	/* Between two lines nothing typed is shown: an answer is. */
	el_set(el, EL_SETTY, "-x", "-echo", NULL);
}

int lineedit_open(const char *history_file, struct lineedit **out,
		  struct err *e)
{
	auto_(lineedit) l = xcalloc(1, sizeof *l);
	HistEvent ev;
	/* A prompt does not belong into a file or pipe. */
	FILE *shown = isatty(STDOUT_FILENO) ? stdout : stderr;
	set_charset();
	l->history_file = history_file ? xstrdup(history_file) : NULL;
	l->el = el_init("docker-model", stdin, shown, stderr);
	l->history = history_init();
	if (!l->el || !l->history)
		return err_set(e, ERR_SYSTEM, "the terminal cannot be used");
	history(l->history, &ev, H_SETSIZE, HISTORY_LINES);
	history(l->history, &ev, H_SETUNIQUE, 1);
	el_set(l->el, EL_CLIENTDATA, l);
	el_set(l->el, EL_SIGNAL, 1);
	el_set(l->el, EL_PROMPT, show_prompt);
	el_set(l->el, EL_HIST, history, l->history);
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
		history_end(l->history);
	if (l->el)
		el_end(l->el);
	free(l->history_file);
	free(l);
}

int lineedit_read(struct lineedit *l, const char *prompt, struct str *line)
{
	int n = 0;
	l->prompt = prompt;
	l->is_interrupted = false;
	/* It would show the prompt first; ^D typed in between would be lost. */
	el_set(l->el, EL_PREP_TERM, 1);
	const char *typed = el_gets(l->el, &n);
	if (l->is_interrupted)
		return LINEEDIT_INTERRUPT;
	if (!typed || n <= 0)
		return LINEEDIT_END;
	*line = (struct str){ typed, (size_t)n };
	while (line->n && strchr("\r\n", line->p[line->n - 1]))
		line->n--;
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
