/* Needs the chat model's file (TEXT_GGUF), for its vocabulary. */
#include "llama/common_shim.h"
#include "llama/weights.h"
#include "llama/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define THINKING                                                      \
	"{% for m in messages %}<|im_start|>{{ m.role }}\n"           \
	"{% if m.role == 'assistant' and m.reasoning_content %}"      \
	"<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}" \
	"{{ m.content }}<|im_end|>\n{% endfor %}"                     \
	"{% if add_generation_prompt %}<|im_start|>assistant\n"       \
	"{% if enable_thinking is defined and not enable_thinking %}" \
	"<think>\n\n</think>\n\n{% endif %}{% endif %}"

#define TOOLS                                                                  \
	"{% if tools %}<|im_start|>system\n<tools>"                            \
	"{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}"             \
	"\n</tools><|im_end|>\n{% endif %}"                                    \
	"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"     \
	"{% for c in m.tool_calls or [] %}"                                    \
	"\n<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": " \
	"{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}"       \
	"<|im_end|>\n{% endfor %}"                                             \
	"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

/* Calls that are no JSON. */
#define MARKED                                                                   \
	"{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}" \
	"{% endif %}"                                                            \
	"{% for m in messages %}<|im_start|>{{ m.role }}\n"                      \
	"{{ m.content if m.content else '' }}"                                   \
	"{% for c in m.tool_calls or [] %}\n"                                    \
	"<tool_call>{{ c.function.name }}\n"                                     \
	"{% for key, value in c.function.arguments.items() %}"                   \
	"<arg_key>{{ key }}</arg_key>\n<arg_value>"                              \
	"{{ value if value is string else value | tojson }}</arg_value>\n"       \
	"{% endfor %}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"           \
	"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

#define HELLO "[{\"role\":\"user\",\"content\":\"Hello\"}]"
#define ONE_TOOL                                                  \
	"[{\"type\":\"function\",\"function\":{\"name\":\"add\"," \
	"\"parameters\":{\"type\":\"object\",\"properties\":"     \
	"{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}}}]"

static struct weights *weights;

static void on_progress(void *ctx, float fraction)
{
	(void)ctx;
	(void)fraction;
}

static int load(void **state)
{
	const char *path = TEXT_GGUF;
	struct weights_options o = { .paths = &path,
				     .n_paths = 1,
				     .on_progress = on_progress };
	struct err e;
	(void)state;
	return weights_init(&e) || weights_load(&o, &weights, &e) ? -1 : 0;
}

static int unload(void **state)
{
	(void)state;
	weights_free(weights);
	return 0;
}

static struct common_shim_prompt *render(const char *template_text,
					 const struct common_shim_ask *ask)
{
	struct common_shim_templates *t = NULL;
	struct common_shim_prompt *p = NULL;
	struct err e;
	assert_int_equal(
		common_shim_open(weights_model(weights), template_text, &t, &e),
		0);
	assert_int_equal(common_shim_render(t, ask, &p, &e), 0);
	common_shim_close(t);
	return p;
}

/* What was told; calls as "T0:name arguments", their ids only counted. */
struct heard {
	struct writer content, reasoning, calls;
	int n_ids;
};

static void heard_fini(struct heard *h)
{
	writer_fini(&h->content);
	writer_fini(&h->reasoning);
	writer_fini(&h->calls);
}

static void on_delta(void *ctx, const struct common_shim_delta *d)
{
	struct heard *h = ctx;
	writer_raw(&h->content, d->content);
	writer_raw(&h->reasoning, d->reasoning);
	if (d->tool < 0)
		return;
	if (d->id.n) {
		h->n_ids++;
		writer_put(&h->calls, "T%d:%.*s ", d->tool, STR_ARG(d->name));
	}
	writer_raw(&h->calls, d->arguments);
}

static struct heard hear(const struct common_shim_prompt *p, const char *text,
			 size_t step, enum common_shim_more end)
{
	struct heard h = { WRITER(4096), WRITER(4096), WRITER(4096), 0 };
	struct common_shim_parser *parser = common_shim_parser_new(p);
	struct err e;
	for (struct str t = str_of(text); t.n; t = str_tail(t, step))
		assert_int_equal(common_shim_parse(parser, str_head(t, step),
						   COMMON_SHIM_MORE, on_delta,
						   &h, &e),
				 0);
	assert_int_equal(
		common_shim_parse(parser, STR(""), end, on_delta, &h, &e), 0);
	common_shim_parser_free(parser);
	return h;
}

static void check(const struct common_shim_prompt *p, const char *text,
		  enum common_shim_more end, const char *reasoning,
		  const char *content, const char *calls)
{
	for (size_t step = 1; step <= strlen(text) + 1; step += 1 + step / 3) {
		struct heard h = hear(p, text, step, end);
		assert_string_equal(writer_str(&h.reasoning).p, reasoning);
		assert_string_equal(writer_str(&h.content).p, content);
		assert_string_equal(writer_str(&h.calls).p, calls);
		heard_fini(&h);
	}
}

static void plain_text_comes_out_as_it_went_in(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO };
	auto_(common_shim_prompt) p = render(NULL, &ask);
	(void)state;
	assert_false(common_shim_prompt_has_grammar(p));
	check(p, " Hi <there>, {\"x\": 1}\n\n", COMMON_SHIM_END, "",
	      " Hi <there>, {\"x\": 1}\n\n", "");
}

static void the_prompt_is_the_templates(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO };
	auto_(common_shim_prompt) p = render(TOOLS, &ask);
	(void)state;
	assert_true(str_eq(common_shim_prompt_text(p),
			   "<|im_start|>user\nHello<|im_end|>\n"
			   "<|im_start|>assistant\n"));
}

static void thoughts_are_told_apart(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO };
	auto_(common_shim_prompt) p = render(THINKING, &ask);
	(void)state;
	check(p, "<think>\nI wonder.\n</think>\n\nHello, you.", COMMON_SHIM_END,
	      "I wonder.\n", "Hello, you.", "");
	check(p, "Hello at once.", COMMON_SHIM_END, "", "Hello at once.", "");
	check(p, "<think>\nI won", COMMON_SHIM_CUT, "I won", "", "");
}

static void a_tool_call_is_told_once_and_whole(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "auto" };
	auto_(common_shim_prompt) p = render(TOOLS, &ask);
	(void)state;
	assert_true(common_shim_prompt_has_grammar(p));
	check(p,
	      "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 12}}\n"
	      "</tool_call>",
	      COMMON_SHIM_END, "", "", "T0:add {\"a\": 12}");
	check(p, "No call here.", COMMON_SHIM_END, "", "No call here.", "");
}

static void white_space_before_its_end_leaves_no_call_open(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "required" };
	auto_(common_shim_prompt) p = render(MARKED, &ask);
	static const char call[] = "<tool_call>add\n<arg_key>a</arg_key>\n"
				   "<arg_value>12</arg_value>\n";
	static const char *const ends[] = { "</tool_call>", "\n</tool_call>",
					    "\n\n</tool_call>" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		auto_free char *text = xasprintf("%s%s", call, ends[i]);
		check(p, text, COMMON_SHIM_END, "", "", "T0:add {\"a\":12}");
	}
}

static void bytes_that_are_no_character_end_no_call(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "auto" };
	auto_(common_shim_prompt) p = render(TOOLS, &ask);
	(void)state;
	check(p,
	      "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": "
	      "\"x\xfd\xb1\"}}\n</tool_call>",
	      COMMON_SHIM_END, "", "",
	      "T0:add {\"a\": \"x\xef\xbf\xbd\xef\xbf\xbd\"}");
}

static void several_calls_have_several_ids(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "auto",
				       .parallel = 1 };
	static const char text[] =
		"<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n"
		"</tool_call>\n<tool_call>\n{\"name\": \"add\", "
		"\"arguments\": {\"a\": 2}}\n</tool_call>";
	auto_(common_shim_prompt) p = render(TOOLS, &ask);
	(void)state;
	check(p, text, COMMON_SHIM_END, "", "",
	      "T0:add {\"a\": 1}T1:add {\"a\": 2}");
	struct heard h = hear(p, text, 3, COMMON_SHIM_END);
	assert_int_equal(h.n_ids, 2);
	heard_fini(&h);
}

static void an_answer_out_of_form_is_not_lost(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "auto" };
	auto_(common_shim_prompt) p = render(TOOLS, &ask);
	struct heard h =
		hear(p, "Well <tool_call>\nnonsense", 4, COMMON_SHIM_END);
	(void)state;
	assert_non_null(strstr(writer_str(&h.content).p, "Well"));
	heard_fini(&h);
}

static void a_required_tool_binds_from_the_first_token(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "required" };
	auto_(common_shim_prompt) p = render(TOOLS, &ask);
	(void)state;
	assert_true(common_shim_prompt_has_grammar(p));
}

static void refused(const char *template_text,
		    const struct common_shim_ask *ask, const char *word)
{
	struct common_shim_templates *t = NULL;
	struct common_shim_prompt *p = NULL;
	struct err e = { 0 };
	assert_int_equal(
		common_shim_open(weights_model(weights), template_text, &t, &e),
		0);
	assert_int_equal(common_shim_render(t, ask, &p, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(e.msg, word));
	assert_null(strchr(e.msg, '\n'));
	common_shim_close(t);
}

static void what_the_template_raises_is_an_error(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO };
	(void)state;
	refused("{{ raise_exception('no users, please') }}", &ask,
		"no users, please");
}

static void a_tool_that_cannot_be_called_is_refused(void **state)
{
	struct common_shim_ask ask = { .messages = HELLO,
				       .tools = ONE_TOOL,
				       .tool_choice = "required" };
	(void)state;
	refused(NULL, &ask, "tool calls");
}

static void a_schema_that_cannot_be_kept_is_refused(void **state)
{
	struct common_shim_ask ask = {
		.messages = HELLO,
		.schema = "{\"type\":\"object\",\"properties\":"
			  "{\"a\":{\"$ref\":\"#/nowhere\"}}}",
	};
	(void)state;
	refused(NULL, &ask, "");
}

static void a_template_that_does_not_parse_is_refused(void **state)
{
	struct common_shim_templates *t = NULL;
	struct err e;
	(void)state;
	assert_int_equal(
		common_shim_open(weights_model(weights), "{% for %}", &t, &e),
		-1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
}

/* What a stranger's template may take is bounded, and nothing is left over:
 * the same process goes on with others. Each does its worst only in a chat of
 * these words, so that opening it is not what fails. */
static void a_template_without_end_is_stopped(void **state)
{
	static const struct {
		const char *what, *text;
	} rows[] = {
		{ "processor time",
		  "{% for a in range(99999) %}{% for b in range(99999) %}"
		  "{% endfor %}{% endfor %}" },
		{ "memory",
		  "{% set n = namespace(s='xxxxxxxx') %}{% for a in range(60) "
		  "%}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}" },
		{ "memory",
		  "{% for a in range(99999999) %}much text{% endfor %}" },
		{ "of ", "{{ f(0) }}" }, /* stack or memory, by the compiler */
	};
	struct common_shim_ask ask = { .messages = HELLO };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct common_shim_templates *t = NULL;
		struct common_shim_prompt *p = NULL;
		struct err e;
		auto_free char *text = xasprintf(
			"{%% macro f(n) %%}{{ f(n + 1) }}{%% endmacro %%}"
			"{%% if messages[0].content == 'Hello' %%}%s"
			"{%% endif %%}{{ messages[0].content }}",
			rows[i].text);
		assert_int_equal(
			common_shim_open(weights_model(weights), text, &t, &e),
			0);
		assert_int_equal(common_shim_render(t, &ask, &p, &e), -1);
		assert_int_equal(e.code, ERR_UNSUPPORTED);
		assert_non_null(strstr(e.msg, "was stopped"));
		if (!strstr(e.msg, rows[i].what))
			fail_msg("'%s' is not in: %s", rows[i].what, e.msg);
		struct common_shim_ask calm = {
			.messages = "[{\"role\":\"user\",\"content\":\"Hi\"}]"
		};
		assert_int_equal(common_shim_render(t, &calm, &p, &e), 0);
		assert_true(str_eq(common_shim_prompt_text(p), "Hi"));
		common_shim_prompt_free(p);
		common_shim_close(t);
	}
}

/* Half a megabyte and a thousand messages are nothing unusual. */
static void a_long_chat_is_within_the_bounds(void **state)
{
	auto_buf struct buf text;
	(void)state;
	buf_init(&text, 1 << 20);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(
			buf_printf(&text,
				   "%s{\"role\":\"%s\",\"content\":\"%0500d\"}",
				   i ? "," : "[", i % 2 ? "assistant" : "user",
				   i),
			0);
	}
	assert_int_equal(buf_puts(&text, "]"), 0);
	struct common_shim_ask ask = { .messages = buf_str(&text).p };
	auto_(common_shim_prompt) p = render(NULL, &ask);
	assert_true(common_shim_prompt_text(p).n > 500000);
}

static int render_list(const struct common_shim_templates *t, size_t n,
		       struct err *e)
{
	auto_buf struct buf text;
	struct common_shim_prompt *p = NULL;
	buf_init(&text, 16 << 20);
	assert_int_equal(buf_puts(&text, "{\"list\":[0"), 0);
	for (size_t i = 1; i < n; i++)
		assert_int_equal(buf_put(&text, ",0", 2), 0);
	assert_int_equal(buf_puts(&text, "]}"), 0);
	struct common_shim_ask ask = { .messages = HELLO,
				       .kwargs = buf_str(&text).p };
	int failed = common_shim_render(t, &ask, &p, e);
	common_shim_prompt_free(p);
	return failed;
}

/* The longest list that is within the bounds, and the shortest that is not, are
 * next to each other: where a value's destructor is what meets the bound the
 * request is refused, and the process goes on. */
static void a_destructor_that_meets_a_bound_ends_nothing(void **state)
{
	size_t good = 500000, bad = 2000000;
	struct common_shim_templates *t = NULL;
	struct err e;
	(void)state;
	assert_int_equal(
		common_shim_open(weights_model(weights), TOOLS, &t, &e), 0);
	assert_int_equal(render_list(t, good, &e), 0);
	while (bad - good > 50000) {
		size_t n = (good + bad) / 2;
		if (render_list(t, n, &e)) {
			assert_non_null(strstr(e.msg, "took more than"));
			bad = n;
		} else {
			good = n;
		}
	}
	assert_int_equal(render_list(t, bad, &e), -1);
	common_shim_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_comes_out_as_it_went_in),
		cmocka_unit_test(the_prompt_is_the_templates),
		cmocka_unit_test(thoughts_are_told_apart),
		cmocka_unit_test(a_tool_call_is_told_once_and_whole),
		cmocka_unit_test(bytes_that_are_no_character_end_no_call),
		cmocka_unit_test(
			white_space_before_its_end_leaves_no_call_open),
		cmocka_unit_test(several_calls_have_several_ids),
		cmocka_unit_test(an_answer_out_of_form_is_not_lost),
		cmocka_unit_test(a_required_tool_binds_from_the_first_token),
		cmocka_unit_test(what_the_template_raises_is_an_error),
		cmocka_unit_test(a_tool_that_cannot_be_called_is_refused),
		cmocka_unit_test(a_schema_that_cannot_be_kept_is_refused),
		cmocka_unit_test(a_template_that_does_not_parse_is_refused),
		cmocka_unit_test(a_template_without_end_is_stopped),
		cmocka_unit_test(a_long_chat_is_within_the_bounds),
		cmocka_unit_test(a_destructor_that_meets_a_bound_ends_nothing),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
