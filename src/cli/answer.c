#include "cli/answer.h"
#include "base/json.h"
#include "base/limits.h"

#define EVENT_BYTES LIMIT_SMALL_BODY_BYTES

void answer_init(struct answer *a, answer_show_fn show)
{
	*a = (struct answer){ .show = show };
	sse_decoder_init(&a->events, EVENT_BYTES);
	buf_init(&a->text, LIMIT_INFER_BODY_BYTES);
}

void answer_fini(struct answer *a)
{
	sse_decoder_fini(&a->events);
	buf_fini(&a->text);
}

static void show(struct answer *a, struct str text)
{
	a->has_shown = true;
	a->show(text);
}

static void think(struct answer *a, struct str text)
{
	if (!text.n)
		return;
	if (!a->is_thinking)
		show(a, STR("Thinking:\n"));
	a->is_thinking = true;
	show(a, text);
}

static int speak(struct answer *a, struct str text, struct err *e)
{
	if (!text.n)
		return 0;
	if (a->is_thinking)
		show(a, STR("\n\n--\n\n"));
	a->is_thinking = false;
	show(a, text);
	if (buf_put(&a->text, text.p, text.n))
		return err_set(e, ERR_TOO_LARGE, "the answer is too long");
	return 0;
}

/* {"error":{"message":"..."}} or {"error":"..."} */
static int fail(const json_t *error, struct err *e)
{
	struct str words = STR("the server reports an error");
	struct err unused;
	if (json_is_string(error))
		words = str_of(json_string_value(error));
	else if (json_get_str(error, "message", &words, &unused))
		words = STR("the server reports an error");
	return err_set(e, ERR_ENGINE, "%.*s", STR_ARG(words));
}

static int read_usage(struct answer *a, const json_t *event, struct err *e)
{
	const json_t *usage = json_object_get(event, "usage");
	if (!json_is_object(usage))
		return 0;
	a->has_usage = true;
	if (json_get_int(usage, "prompt_tokens", 0, INT32_MAX,
			 &a->prompt_tokens, e) ||
	    json_get_int(usage, "completion_tokens", 0, INT32_MAX,
			 &a->answer_tokens, e))
		return -1;
	return 0;
}

static int read_event(struct answer *a, const json_t *event, struct err *e)
{
	const json_t *error = json_object_get(event, "error");
	const json_t *choice =
		json_array_get(json_object_get(event, "choices"), 0);
	const json_t *delta = json_object_get(choice, "delta");
	struct str text = { NULL, 0 }, reasoning = { NULL, 0 };
	struct str finish = { NULL, 0 };
	if (error && !json_is_null(error))
		return fail(error, e);
	if (json_get_str(delta, "content", &text, e) ||
	    json_get_str(delta, "reasoning_content", &reasoning, e) ||
	    json_get_str(choice, "finish_reason", &finish, e) ||
	    read_usage(a, event, e))
		return err_wrap(e, "the answer's stream");
	a->is_over = a->is_over || finish.n;
	think(a, reasoning);
	return speak(a, text, e);
}

static void on_event(void *ctx, struct str data)
{
	struct answer *a = ctx;
	auto_json *event = NULL;
	if (a->has_failed)
		return;
	if (str_eq(data, "[DONE]")) {
		a->is_over = true;
		return;
	}
	if (json_parse(data, &event, a->e))
		a->has_failed = err_wrap(a->e, "the answer's stream") != 0;
	else
		a->has_failed = read_event(a, event, a->e) != 0;
}

int answer_feed(void *ctx, struct str piece, struct err *e)
{
	struct answer *a = ctx;
	a->e = e;
	if (sse_decode(&a->events, piece, on_event, a, e))
		return err_wrap(e, "the answer's stream");
	return a->has_failed ? -1 : 0;
}

int answer_end(const struct answer *a, struct err *e)
{
	if (a->is_over)
		return 0;
	return err_set(e, ERR_ENGINE,
		       a->has_shown ? "the answer broke off before its end"
				    : "the server sent no answer that could be "
				      "read");
}
