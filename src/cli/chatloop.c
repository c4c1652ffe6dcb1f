#include "cli/chatloop.h"
#include "base/paths.h"
#include "cli/lineedit.h"
#include "cli/prompt.h"
#include "cli/term.h"

#include <signal.h>

static const char help[] =
	"/? or /help       Show this\n"
	"/set system TEXT  Set the system message; without TEXT, clear it\n"
	"/clear            Forget the conversation so far\n"
	"/bye or /exit     Leave\n"
	"\"\"\"               Begin and end a message of several lines\n"
	"Ctrl-C            Stop the answer\n"
	"Ctrl-D            Leave\n"
	"Ctrl-R            Search the lines typed before\n";

static char *history_file(void)
{
	const char *off = getenv("DOCKER_MODEL_NOHISTORY");
	auto_free char *docker = paths_docker();
	return off && *off ? NULL : xasprintf("%s/model/history", docker);
}

static void question(struct ask *a, const struct prompt *p)
{
	struct err why;
	int outcome = ask_question(a, str_of(prompt_text(p)), true, &why);
	/* Ctrl-C a moment too late must not end the program. */
	signal(SIGINT, SIG_IGN);
	if (outcome < 0) {
		auto_free char *line = term_cell(str_of(why.msg));
		term_printf("Error: %s\n", line);
	}
	term_printf("\n");
}

/* false: the person leaves. */
static bool act(struct ask *a, const struct prompt *p,
		enum prompt_meaning meaning)
{
	switch (meaning) {
	case PROMPT_QUIT:
		return false;
	case PROMPT_SEND:
		question(a, p);
		break;
	case PROMPT_HELP:
		term_put(STR(help));
		break;
	case PROMPT_CLEAR:
		talk_forget(&a->talk, 0);
		term_printf("Forgot the conversation.\n");
		break;
	case PROMPT_SYSTEM:
		talk_set_system(&a->talk, prompt_text(p));
		term_printf("%s system message.\n",
			    *prompt_text(p) ? "Set" : "Cleared");
		break;
	case PROMPT_UNKNOWN:
		term_printf("Unknown command '%s'. Type /? for help\n",
			    prompt_text(p));
		break;
	case PROMPT_TOO_LONG:
		term_printf("That message is too long.\n");
		break;
	case PROMPT_NOTHING:
	case PROMPT_MORE:
		break;
	}
	return true;
}

static void loop(struct ask *a, struct lineedit *l, struct prompt *p)
{
	enum prompt_meaning meaning = PROMPT_NOTHING;
	struct str line;
	for (;;) {
		term_flush();
		int outcome = lineedit_read(
			l, meaning == PROMPT_MORE ? ". " : "> ", &line);
		if (outcome == LINEEDIT_END)
			break;
		if (outcome == LINEEDIT_INTERRUPT) {
			meaning = PROMPT_NOTHING;
			if (!prompt_cancel(p))
				term_printf("Use Ctrl + d or /bye to exit.\n");
			continue;
		}
		lineedit_remember(l, line);
		meaning = prompt_line(p, line, lineedit_is_pending());
		if (!act(a, p, meaning))
			return;
	}
	term_printf("\n");
}

int chatloop_run(struct ask *a, struct err *e)
{
	auto_(lineedit) l = NULL;
	auto_free char *file = history_file();
	struct prompt p;
	if (lineedit_open(file, &l, e))
		return -1;
	prompt_init(&p);
	signal(SIGINT, SIG_IGN);
	term_printf("Send a message (/? for help)\n");
	ask_begin_preload(a);
	loop(a, l, &p);
	prompt_fini(&p);
	return 0;
}
