/* term.h - text on its way to a terminal, and what stdout is.
 *
 * Names, metadata and answers come from others; written raw they could move
 * the cursor, retitle the window or worse. On a terminal control characters
 * are taken out; a pipe or a file gets every byte. */
#pragma once
#include "base/buf.h"
#include "base/json.h"

/* Appends `s` less C0 and C1 control characters and DEL; newlines and tabs
 * stay. `s` is UTF-8. */
must_use int term_clean(struct str s, struct buf *out);
/* The same in one line: a newline or tab is a space. The caller frees it. */
char *term_cell(struct str s) must_use;
/* Columns that UTF-8 text takes, each character counted as one. */
size_t term_width(struct str s);

/* stdout: appends text, cleaned if it is a terminal; sends it now. When its
 * reader is gone (`| head`) the program ends as SIGPIPE would end it. */
void term_put(struct str s);
void term_printf(const char *fmt, ...) printf_like(1, 2);
/* Four spaces a level, and a newline. */
void term_put_json(const json_t *j);
void term_flush(void);
/* Sends the rest; -1 if something could not be written (a full disk). */
must_use int term_finish(struct err *e);
bool term_is_tty(void);
