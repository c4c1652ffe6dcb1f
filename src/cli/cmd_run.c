#include "base/limits.h"
#include "cli/ask.h"
#include "cli/chatloop.h"
#include "cli/commands.h"

#include <sys/stat.h>
#include <unistd.h>

/* Flags that are members of the request under another name. */
static const struct {
	const char *flag, *member;
	bool is_whole;
} members[] = {
	{ "max-tokens", "max_tokens", true },
	{ "seed", "seed", true },
	{ "temperature", "temperature", false },
};

static int set_options(struct ask *a, const struct cmd_line *in, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const char *typed = cmd_text(in, members[i].flag);
		if (!typed)
			continue;
		/* JSON knows fewer ways to write a number than strtod. */
		auto_free char *number =
			members[i].is_whole
				? xasprintf("%lld", strtoll(typed, NULL, 10))
				: xasprintf("%.15g", strtod(typed, NULL));
		if (talk_set(&a->talk, members[i].member, number))
			return err_set(e, ERR_USAGE, "too many options");
	}
	talk_set_system(&a->talk, cmd_text(in, "system"));
	return 0;
}

/* Text that was piped or redirected to us. Anything else that is no terminal
 * (/dev/null, a service's stdin) has nothing to say. */
static int read_stdin(struct buf *out, struct err *e)
{
	char piece[LIMIT_READ_BYTES];
	struct stat st;
	ssize_t n;
	if (fstat(STDIN_FILENO, &st) || S_ISCHR(st.st_mode))
		return 0;
	while ((n = read(STDIN_FILENO, piece, sizeof piece)) > 0)
		if (buf_put(out, piece, (size_t)n))
			return err_set(e, ERR_TOO_LARGE,
				       "the text on stdin is too long: at most "
				       "%u bytes can be sent",
				       LIMIT_INFER_BODY_BYTES);
	return n < 0 ? err_sys(e, "read stdin") : 0;
}

/* The words of the command line, then what stdin holds. */
static int read_prompt(const struct cmd_line *in, struct buf *out,
		       struct err *e)
{
	auto_free char *words = cmd_join(in, 1);
	auto_buf struct buf piped;
	buf_init(&piped, LIMIT_INFER_BODY_BYTES);
	if (read_stdin(&piped, e))
		return -1;
	if (buf_puts(out, words) ||
	    (*words && piped.n && buf_puts(out, "\n\n")) ||
	    buf_put(out, piped.p, piped.n))
		return err_set(e, ERR_TOO_LARGE, "the prompt is too long");
	return 0;
}

static int preload(struct ask *a, struct err *e)
{
	if (ask_preload(a, e) == 0)
		return 0;
	return ask_fetch(a, e) ? -1 : ask_preload(a, e);
}

static int question(struct ask *a, struct str prompt, struct err *e)
{
	if (ask_question(a, prompt, false, e) == 0)
		return 0;
	return ask_fetch(a, e) ? -1 : ask_question(a, prompt, false, e);
}

static int run(struct ask *a, const struct cmd_line *in, struct err *e)
{
	auto_buf struct buf prompt;
	buf_init(&prompt, LIMIT_INFER_BODY_BYTES);
	if (set_options(a, in, e))
		return -1;
	if (cmd_is_set(in, "detach"))
		return preload(a, e);
	if (read_prompt(in, &prompt, e))
		return -1;
	if (prompt.n)
		return question(a, buf_str(&prompt), e);
	if (!isatty(STDIN_FILENO))
		return err_set(e, ERR_USAGE,
			       "nothing to ask: give a prompt after the model, "
			       "or text on stdin");
	if (ask_check(a, e) && ask_fetch(a, e))
		return -1;
	return chatloop_run(a, e);
}

int cmd_run(const struct cmd_line *in, struct err *e)
{
	struct ask a;
	int failed = ask_open(&a, in->args[0], cmd_text(in, "openaiurl"), e);
	if (!failed)
		failed = run(&a, in, e);
	ask_close(&a);
	return failed;
}
