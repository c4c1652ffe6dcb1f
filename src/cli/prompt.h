/* prompt.h - what the lines typed in a chat mean.
 *
 *   /bye /exit   /? /help   /clear   /set system TEXT
 *   """ ... """  a message of several lines; so are lines pasted together
 *
 * Pure: lines in, meaning out. */
#pragma once
#include "base/buf.h"

enum prompt_meaning {
	PROMPT_NOTHING,
	PROMPT_MORE, /* the message goes on */
	PROMPT_SEND, /* prompt_text() is the message */
	PROMPT_QUIT,
	PROMPT_HELP,
	PROMPT_CLEAR,
	PROMPT_SYSTEM,	/* prompt_text() is the new system message */
	PROMPT_UNKNOWN, /* prompt_text() is the command that is none */
	PROMPT_TOO_LONG,
};

struct prompt {
	struct buf text;
	bool is_quoted; /* between """ and """ */
	bool is_pasted; /* in lines that came together */
};

void prompt_init(struct prompt *p);
void prompt_fini(struct prompt *p);
/* A line without its newline. `more_follows`: others came together with it, so
 * nobody meant to send this one alone. */
enum prompt_meaning prompt_line(struct prompt *p, struct str line,
				bool more_follows);
/* Valid until the next line. */
const char *prompt_text(const struct prompt *p);
/* Drops a message that is half typed; false if there was none. */
bool prompt_cancel(struct prompt *p);
