#include "cli/ask.h"
#include "base/limits.h"
#include "cli/answer.h"
#include "cli/pulling.h"
#include "cli/term.h"

#define PRELOAD_FIELD "X-Preload-Only: true\r\n"

int ask_open(struct ask *a, const char *model, const char *url, struct err *e)
{
	*a = (struct ask){ .model = model };
	talk_init(&a->talk);
	buf_init(&a->preload, LIMIT_SMALL_BODY_BYTES);
	a->path = url ? "/chat/completions" : "/engines/v1/chat/completions";
	return url ? call_open_url(url, &a->call, e) : call_open(&a->call, e);
}

void ask_close(struct ask *a)
{
	call_free(a->call);
	talk_fini(&a->talk);
	buf_fini(&a->preload);
}

/* Our own server's 404 is a missing model; another's may be anything. */
static int explain(const struct ask *a, struct err *e)
{
	if (e->code != ERR_NOT_FOUND || call_where(a->call)->kind == WHERE_URL)
		return -1;
	return err_set(e, ERR_NOT_FOUND,
		       "no such model: %s; 'docker model list' shows those "
		       "that are here, 'docker model package' makes one",
		       a->model);
}

int ask_check(struct ask *a, struct err *e)
{
	auto_json *model = NULL;
	auto_free char *name = call_escape(a->model);
	auto_free char *path = xasprintf("/engines/v1/models/%s", name);
	if (call_where(a->call)->kind == WHERE_URL)
		return 0;
	return call_json(a->call, "GET", path, STR(""), &model, e)
		       ? explain(a, e)
		       : 0;
}

int ask_fetch(struct ask *a, struct err *e)
{
	if (e->code != ERR_NOT_FOUND || call_where(a->call)->kind == WHERE_URL)
		return -1;
	fprintf(stderr,
		"Unable to find model '%s' locally. Pulling from the server.\n",
		a->model);
	if (pulling_run(a->call, a->model, stderr, e))
		return err_wrap(e, "pull %s", a->model);
	return 0;
}

static int too_long(struct err *e)
{
	return err_set(e, ERR_TOO_LARGE,
		       "the conversation is too long; begin a new one");
}

static int prepare_preload(struct ask *a)
{
	a->preload_request = (struct call_request){ .method = "POST",
						    .path = a->path,
						    .fields = PRELOAD_FIELD };
	if (talk_put_request(&a->talk, a->model, &a->preload))
		return BUF_FULL;
	a->preload_request.body = buf_str(&a->preload);
	return 0;
}

int ask_preload(struct ask *a, struct err *e)
{
	if (prepare_preload(a))
		return too_long(e);
	return call_stream(a->call, &a->preload_request, NULL, NULL, e)
		       ? explain(a, e)
		       : 0;
}

void ask_begin_preload(struct ask *a)
{
	if (prepare_preload(a) == 0)
		call_post(a->call, &a->preload_request);
}

static void show(struct str text)
{
	term_put(text);
	term_flush();
}

static int stream(struct ask *a, struct answer *answer, bool is_interruptible,
		  struct err *e)
{
	auto_buf struct buf body;
	buf_init(&body, LIMIT_INFER_BODY_BYTES);
	if (talk_put_request(&a->talk, a->model, &body))
		return too_long(e);
	int outcome = call_stream(
		a->call,
		&(struct call_request){ .method = "POST",
					.path = a->path,
					.body = buf_str(&body),
					.is_interruptible = is_interruptible },
		answer_feed, answer, e);
	if (outcome == 0)
		outcome = answer_end(answer, e);
	/* What comes next begins on its own line. */
	if (answer->has_shown || outcome == 0)
		show(STR("\n"));
	if (outcome == 0 && answer->has_usage && term_is_tty())
		term_printf("\nToken usage: %lld prompt + %lld completion = "
			    "%lld total\n",
			    (long long)answer->prompt_tokens,
			    (long long)answer->answer_tokens,
			    (long long)(answer->prompt_tokens +
					answer->answer_tokens));
	return outcome < 0 ? explain(a, e) : outcome;
}

int ask_question(struct ask *a, struct str text, bool is_interruptible,
		 struct err *e)
{
	size_t mark = talk_mark(&a->talk);
	struct answer answer;
	if (talk_add(&a->talk, "user", text))
		return too_long(e);
	answer_init(&answer, show);
	int outcome = stream(a, &answer, is_interruptible, e);
	/* The part of an answer that was shown is part of the talk. */
	if ((outcome && !answer.text.n) || outcome < 0 ||
	    talk_add(&a->talk, "assistant", buf_str(&answer.text)))
		talk_forget(&a->talk, mark);
	answer_fini(&answer);
	return outcome ? (outcome < 0 ? -1 : ASK_INTERRUPTED) : 0;
}
