#include "llama/common_shim.h"
#include "base/limits.h"
#include "llama/bounds.h"
#include "llama/either.h"
#include "llama/grammar.h"
#include "llama/grammar_rules.h"
#include "llama/sample.h"
#include "llama/shim_parts.h"

#include <chat.h>
#include <json-schema-to-grammar.h>
#include <json.h>
#include <log.h>
#include <sampling.h>
#include <src/llama-ext.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

struct common_shim_templates {
	const llama_model *model;
	common_chat_templates_ptr templates;
	std::string text; /* made when it is asked for */
};

struct common_shim_prompt {
	common_chat_params params;
	common_chat_parser_params parsing;
	std::set<llama_token> kept;
	std::vector<common_grammar_trigger> triggers;
	common_grammar_type grammar_type;
	std::string calls; /* what may come in place of params.grammar */
	size_t begun; /* bytes of the client's at the generation prompt's end */
	bool has_tools;
	bool is_rest;  /* content, once begun, goes on to the end */
	bool is_plain; /* and it begins at once: nothing is to be parsed */
	const llama_model *model;
};

struct common_shim_parser {
	common_chat_parser_params parsing;
	bool is_rest;
	bool is_plain;
	std::string text;
	common_chat_msg shown;
	std::vector<std::string> ids;
	std::set<size_t> named; /* calls whose beginning was told */
};

struct common_shim_sampler {
	common_sampler_ptr sampler;
	uint64_t spent_ms, n_tokens;
};

/* The message of an exception as one line. */
static int failed(struct err *e, enum err_code code, const char *what,
		  const std::exception &x)
{
	std::string text = x.what();
	if (text == std::exception().what()) /* it lost its words on the way */
		return err_set(e, code, "%s", what);
	std::replace(text.begin(), text.end(), '\n', ' ');
	return err_set(e, code, "%s: %s", what, text.c_str());
}

static struct str view(const std::string &s)
{
	return str{ s.data(), s.size() };
}

/* While it lives, a template's work is bounded; `exceeded` then says by what
 * it was ended, or is NULL. */
class template_bounds
{
	const char *&exceeded;

      public:
	template_bounds(size_t given, const char *&out) : exceeded(out)
	{
		exceeded = nullptr;
		struct bounds b;
		uint64_t ms = LIMIT_TEMPLATE_MS +
			      (uint64_t)given * LIMIT_TEMPLATE_MS / (1u << 20);
		b.bytes = LIMIT_TEMPLATE_BYTES +
			  (uint64_t)given * LIMIT_TEMPLATE_BYTES_EACH;
		b.time_ms = MIN(ms, (uint64_t)LIMIT_TEMPLATE_MOST_MS);
		bounds_begin(&b);
	}
	~template_bounds()
	{
		exceeded = bounds_end();
	}
};

/* Of what was exceeded no exception tells: where there is no memory their
 * texts get lost. */
static int failed_bounded(struct err *e, const char *exceeded,
			  enum err_code code, const char *what,
			  const std::exception &x)
{
	if (exceeded)
		return err_set(e, ERR_UNSUPPORTED,
			       "the model's chat template was stopped: it took "
			       "more than %s; send less, or ask another model",
			       exceeded);
	return failed(e, code, what, x);
}

static void open_templates(common_shim_templates &t, const char *text,
			   const char *&exceeded)
{
	template_bounds bounds(0, exceeded);
	t.templates = common_chat_templates_init(t.model, text ? text : "");
}

static int open_bounded(common_shim_templates &t, const char *text,
			struct err *e)
{
	const char *exceeded = nullptr;
	try {
		open_templates(t, text, exceeded);
		if (!exceeded)
			return 0;
		throw std::bad_alloc();
	} catch (const std::exception &x) {
		return failed_bounded(e, exceeded, ERR_UNSUPPORTED,
				      "the chat template does not parse", x);
	}
}

int common_shim_open(const struct llama_model *model, const char *text,
		     struct common_shim_templates **out, struct err *e)
try {
	/* common logs prompts and answers; whoever needs to know is told by
	 * exceptions. */
	common_log_set_verbosity_thold(LOG_LEVEL_OUTPUT);
	auto t = std::make_unique<common_shim_templates>();
	t->model = model;
	if (open_bounded(*t, text, e))
		return -1;
	*out = t.release();
	return 0;
} catch (const std::exception &x) {
	return failed(e, ERR_UNSUPPORTED, "the chat template does not parse",
		      x);
}

void common_shim_close(struct common_shim_templates *t)
{
	delete t;
}

bool common_shim_has_template(const struct common_shim_templates *t)
{
	return common_chat_templates_was_explicit(t->templates.get());
}

struct str common_shim_template_text(const struct common_shim_templates *t)
try {
	auto *own = const_cast<common_shim_templates *>(t);
	if (own->text.empty())
		own->text = common_chat_templates_source(t->templates.get());
	return view(own->text);
} catch (const std::exception &) {
	return str{ "", 0 };
}

/* A word trigger that is one token is matched as that token. */
static void set_triggers(common_shim_prompt &p)
{
	const llama_vocab *v = llama_model_get_vocab(p.model);
	for (const auto &word : p.params.preserved_tokens) {
		auto ids = common_tokenize(v, word, false, true);
		if (ids.size() == 1)
			p.kept.insert(ids[0]);
	}
	for (auto trigger : p.params.grammar_triggers) {
		if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
			auto ids =
				common_tokenize(v, trigger.value, false, true);
			if (ids.size() == 1) {
				trigger.type =
					COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN;
				trigger.token = ids[0];
				p.kept.insert(ids[0]);
			}
		}
		p.triggers.push_back(std::move(trigger));
	}
}

/* Parsing every answer again for each token costs time that grows with its
 * square. Most templates wrap nothing around plain content, and then there is
 * nothing to parse: the template itself is asked. */
static bool content_is_rest(const common_shim_prompt &p)
{
	static const char probe[] = " A probe:\n1 < 2, {\"x\": [3]}.\n\n";
	if (p.has_tools || !p.params.grammar.empty() ||
	    p.parsing.is_continuation)
		return false;
	try {
		auto msg = common_chat_parse(probe, false, p.parsing);
		return msg.content == probe && msg.tool_calls.empty() &&
		       msg.reasoning_content.empty();
	} catch (const std::exception &) {
		return false;
	}
}

static void set_variables(common_chat_templates_inputs &in,
			  const common_shim_ask &ask)
{
	in.enable_thinking = !ask.no_thinking;
	if (ask.kwargs) {
		/* It must outlive the loop over its items. */
		auto all = common_json::parse(ask.kwargs);
		for (auto item : all.items())
			in.chat_template_kwargs[item.key()] =
				item.value().dump();
	}
	auto thinking = in.chat_template_kwargs.find("enable_thinking");
	if (thinking != in.chat_template_kwargs.end())
		in.enable_thinking = thinking->second != "false";
	if (!ask.effort)
		return;
	if (std::string(ask.effort) == "none")
		in.enable_thinking = false;
	else
		in.chat_template_kwargs["reasoning_effort"] =
			common_json::make(ask.effort).dump();
}

static common_chat_templates_inputs inputs(const common_shim_templates &t,
					   const common_shim_ask &ask)
{
	common_chat_templates_inputs in;
	in.messages = common_chat_msgs_parse_oaicompat(
		common_json::parse(ask.messages));
	if (ask.tools)
		in.tools = common_chat_tools_parse_oaicompat(
			common_json::parse(ask.tools));
	if (ask.tool_choice)
		in.tool_choice = common_chat_tool_choice_parse_oaicompat(
			ask.tool_choice);
	if (ask.schema)
		in.json_schema = ask.schema;
	auto caps = common_chat_templates_get_caps(t.templates.get());
	in.parallel_tool_calls = ask.parallel < 0
					 ? caps["supports_parallel_tool_calls"]
					 : ask.parallel != 0;
	in.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
	if (ask.goes_on) {
		in.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
		in.add_generation_prompt = false;
	}
	set_variables(in, ask);
	return in;
}

static size_t bytes_begun(const common_chat_templates_inputs &in,
			  const std::string &prompt)
{
	if (in.continue_final_message == COMMON_CHAT_CONTINUATION_NONE)
		return 0;
	std::string text = in.messages.back().render_content();
	size_t n = text.size(), all = prompt.size();
	return n <= all && prompt.compare(all - n, n, text) == 0 ? n : 0;
}

static void render(const common_shim_templates &t, const common_shim_ask &ask,
		   common_shim_prompt &p)
{
	auto in = inputs(t, ask);
	p.model = t.model;
	p.params = common_chat_templates_apply(t.templates.get(), in);
	if (ask.shown_tools)
		shim_parts_show(t.templates.get(), in, ask.shown_tools,
				p.params);
	p.begun = bytes_begun(in, p.params.generation_prompt);
	auto caps = common_chat_templates_get_caps(t.templates.get());
	p.has_tools = !in.tools.empty() &&
		      in.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE &&
		      caps["supports_tool_calls"];
	if (!p.has_tools && in.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED)
		throw std::invalid_argument("it knows no tool calls");
	if (p.has_tools)
		either_allow(t.templates.get(), in, p.params, p.calls);
	grammar_rules_set(p.params.grammar,
			  in.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED,
			  !in.parallel_tool_calls);
	p.grammar_type = in.json_schema.empty()
				 ? COMMON_GRAMMAR_TYPE_TOOL_CALLS
				 : COMMON_GRAMMAR_TYPE_OUTPUT_FORMAT;
	p.parsing = common_chat_parser_params(p.params);
	p.parsing.reasoning_format = in.reasoning_format;
	p.parsing.parse_tool_calls = p.has_tools;
	p.parsing.is_continuation = ask.goes_on;
	if (!p.params.parser.empty())
		p.parsing.parser.load(p.params.parser);
	set_triggers(p);
	p.is_rest = content_is_rest(p);
	p.is_plain = p.is_rest && !p.params.supports_thinking;
}

static size_t bytes_of(const char *text)
{
	return text ? std::strlen(text) : 0;
}

static void render_bounded(const common_shim_templates &t,
			   const common_shim_ask &ask, common_shim_prompt &p,
			   const char *&exceeded)
{
	template_bounds bounds(bytes_of(ask.messages) + bytes_of(ask.tools) +
				       bytes_of(ask.schema) +
				       bytes_of(ask.kwargs),
			       exceeded);
	render(t, ask, p);
}

/* Last of all, since it knows no rule's name any more. */
static int rewrite_grammar(common_shim_prompt &p, struct err *e)
{
	struct buf out;
	if (p.params.grammar.empty())
		return 0;
	buf_init(&out, LIMIT_GRAMMAR_TEXT_BYTES);
	int got =
		grammar_rewrite(view(p.params.grammar), view(p.calls), &out, e);
	if (got == 0)
		p.params.grammar.assign(out.p, out.n);
	buf_fini(&out);
	return got;
}

static void convert_bounded(const common_json &schema, size_t given,
			    const char *&exceeded)
{
	template_bounds bounds(given, exceeded);
	json_schema_to_grammar(schema);
}

/* Is it this schema that was too much, or cannot be followed? Says so. */
static bool blame_schema(const common_json &schema, struct err *e)
{
	static const char begin[] = "JSON schema conversion failed: ";
	const char *exceeded = nullptr;
	std::string why;
	try {
		convert_bounded(schema, schema.dump().size(), exceeded);
	} catch (const std::exception &x) {
		why = x.what();
		std::replace(why.begin(), why.end(), '\n', ' ');
	}
	if (exceeded)
		why = std::string("it takes more than ") + exceeded +
		      " to prepare: give it fewer members that are not in "
		      "'required', and fewer alternatives";
	if (why.compare(0, sizeof begin - 1, begin) == 0)
		why.erase(0, sizeof begin - 1);
	return !why.empty() &&
	       err_set(e, ERR_INVALID, "the schema cannot be followed: %s",
		       why.c_str()) == -1;
}

/* A failure may be the template's or the grammar's; only this tells. */
static bool blame_schemas(const common_shim_ask &ask, struct err *e)
try {
	if (ask.schema && blame_schema(common_json::parse(ask.schema), e))
		return true;
	auto tools = common_json::parse(ask.tools ? ask.tools : "[]");
	for (size_t i = 0; i < tools.size(); i++) {
		const auto &f = tools.at(i).at("function");
		if (f.contains("parameters") &&
		    blame_schema(f.at("parameters"), e)) {
			err_wrap(e, "tools[%zu]", i);
			return true;
		}
	}
	return false;
} catch (const std::exception &) {
	return false;
}

int common_shim_render(const struct common_shim_templates *t,
		       const struct common_shim_ask *ask,
		       struct common_shim_prompt **out, struct err *e)
{
	const char *exceeded = nullptr;
	try {
		auto p = std::make_unique<common_shim_prompt>();
		render_bounded(*t, *ask, *p, exceeded);
		if (exceeded)
			throw std::bad_alloc();
		if (rewrite_grammar(*p, e))
			return -1;
		*out = p.release();
		return 0;
	} catch (const std::exception &x) {
		if (blame_schemas(*ask, e))
			return -1;
		return failed_bounded(e, exceeded, ERR_INVALID,
				      "the model's chat template refuses this",
				      x);
	}
}

void common_shim_prompt_free(struct common_shim_prompt *p)
{
	delete p;
}

struct str common_shim_prompt_text(const struct common_shim_prompt *p)
{
	return view(p->params.prompt);
}

bool common_shim_prompt_thinks(const struct common_shim_prompt *p)
{
	return !p->params.thinking_end_tags.empty();
}

bool common_shim_prompt_has_grammar(const struct common_shim_prompt *p)
{
	return !p->params.grammar.empty();
}

struct str common_shim_prompt_grammar(const struct common_shim_prompt *p)
{
	return view(p->params.grammar);
}

const char *common_shim_prompt_stop(const struct common_shim_prompt *p,
				    size_t i)
{
	const auto &stops = p->params.additional_stops;
	return i < stops.size() ? stops[i].c_str() : nullptr;
}

bool common_shim_prompt_keeps(const struct common_shim_prompt *p, int32_t token)
{
	return p->kept.count(token) != 0;
}

/* ---- answers ---- */

struct common_shim_parser *common_shim_parser_new(
	const struct common_shim_prompt *p)
{
	auto *parser = new common_shim_parser();
	parser->parsing = p->parsing;
	parser->is_rest = p->is_rest;
	parser->is_plain = p->is_plain;
	if (p->parsing.is_continuation) {
		/* What the client began is not part of the answer. */
		try {
			parser->shown = common_chat_parse("", true, p->parsing);
		} catch (const std::exception &) {
			parser->shown = {};
		}
	}
	return parser;
}

void common_shim_parser_free(struct common_shim_parser *p)
{
	delete p;
}

/* OpenAI's clients want a call's id and name in its first piece, once and
 * whole; while only a name has come it may still grow. */
static void tell_call(common_shim_parser &p, const common_chat_msg_diff &diff,
		      bool is_last, common_shim_delta_fn fn, void *ctx)
{
	size_t i = diff.tool_call_index;
	const auto &call = p.shown.tool_calls[i];
	bool is_new = !p.named.count(i);
	if (is_new && diff.tool_call_delta.arguments.empty() && !is_last)
		return;
	common_shim_delta d = {};
	d.tool = (int)i;
	if (is_new) {
		p.named.insert(i);
		d.id = view(call.id);
		d.name = view(call.name);
		d.arguments = view(call.arguments);
	} else {
		d.arguments = view(diff.tool_call_delta.arguments);
	}
	if (d.id.n || d.arguments.n)
		fn(ctx, &d);
}

/* Calls that are over (another began, or the answer ended) and had no
 * arguments are still to be told. */
static void tell_silent_calls(common_shim_parser &p, bool is_last,
			      common_shim_delta_fn fn, void *ctx)
{
	size_t n = p.shown.tool_calls.size();
	for (size_t i = 0; i < n; i++) {
		common_chat_msg_diff diff;
		diff.tool_call_index = i;
		if (!p.named.count(i) && (is_last || i + 1 < n))
			tell_call(p, diff, true, fn, ctx);
	}
}

static void tell_content(struct str content, common_shim_delta_fn fn, void *ctx)
{
	common_shim_delta d = {};
	d.tool = -1;
	d.content = content;
	if (content.n)
		fn(ctx, &d);
}

static void tell(common_shim_parser &p, bool is_last,
		 const std::vector<common_chat_msg_diff> &diffs,
		 common_shim_delta_fn fn, void *ctx)
{
	for (const auto &diff : diffs) {
		if (diff.tool_call_index != std::string::npos) {
			tell_call(p, diff, is_last, fn, ctx);
			continue;
		}
		common_shim_delta d = {};
		d.tool = -1;
		d.content = view(diff.content_delta);
		d.reasoning = view(diff.reasoning_content_delta);
		if (d.content.n || d.reasoning.n)
			fn(ctx, &d);
	}
	tell_silent_calls(p, is_last, fn, ctx);
}

/* The model did not keep to its format: what was not told yet is content. */
static void tell_raw(common_shim_parser &p, common_shim_delta_fn fn, void *ctx)
{
	if (!p.shown.tool_calls.empty() || !p.shown.reasoning_content.empty() ||
	    p.text.compare(0, p.shown.content.size(), p.shown.content) != 0)
		return;
	struct str rest = view(p.text);
	rest = str{ rest.p + p.shown.content.size(),
		    rest.n - p.shown.content.size() };
	tell_content(rest, fn, ctx);
}

/* Of formats that are no JSON themselves common makes a call's arguments, and
 * closes them at the call's end; where more white space is before that than it
 * expects it takes the call for half. */
static void tell_close(common_shim_parser &p, common_shim_delta_fn fn,
		       void *ctx)
{
	common_shim_delta d = {};
	d.tool = (int)p.shown.tool_calls.size() - 1;
	if (d.tool < 0 || !p.named.count(d.tool))
		return;
	auto &arguments = p.shown.tool_calls[d.tool].arguments;
	if (shim_parts_is_json(arguments) ||
	    !shim_parts_is_json(arguments + "}"))
		return;
	arguments += "}";
	d.arguments = STR("}");
	fn(ctx, &d);
}

int common_shim_parse(struct common_shim_parser *p, struct str added,
		      enum common_shim_more more, common_shim_delta_fn fn,
		      void *ctx, struct err *e)
try {
	if (p->is_plain) {
		tell_content(added, fn, ctx);
		return 0;
	}
	shim_parts_append(p->text, added);
	bool is_last = more != COMMON_SHIM_MORE;
	if (!added.n && !is_last)
		return 0;
	common_chat_msg now;
	try {
		now = common_chat_parse(p->text, more != COMMON_SHIM_END,
					p->parsing);
	} catch (const std::exception &) {
		if (is_last)
			tell_raw(*p, fn, ctx);
		if (more == COMMON_SHIM_END)
			tell_close(*p, fn, ctx);
		return 0;
	}
	if (!now.empty()) {
		now.set_tool_call_ids(p->ids, shim_parts_new_id);
		auto diffs = common_chat_msg_diff::compute_diffs(p->shown, now);
		p->shown = std::move(now);
		tell(*p, is_last, diffs, fn, ctx);
	}
	p->is_plain = p->is_rest && !p->shown.content.empty();
	return 0;
} catch (const std::exception &x) {
	return failed(e, ERR_ENGINE, "the answer cannot be parsed", x);
}

/* ---- sampling ---- */

static void set_budget(common_params_sampling &s, const common_shim_prompt &p)
{
	const llama_vocab *v = llama_model_get_vocab(p.model);
	if (p.params.thinking_end_tags.empty())
		return;
	/* While the model thinks, words that begin a tool call are only words;
	 * the budget sampler is what knows that it thinks. */
	s.reasoning_budget_start =
		common_tokenize(v, p.params.thinking_start_tag, false, true);
	for (const auto &tag : p.params.thinking_end_tags)
		s.reasoning_budget_end.push_back(
			common_tokenize(v, tag, false, true));
	s.reasoning_budget_forced = s.reasoning_budget_end.front();
}

/* Is what the client began the beginning of what the grammar allows? llama.cpp
 * asks that, too, but loses the grammar's memory where it is not. */
static bool fits_beginning(const common_shim_prompt &p)
{
	const llama_vocab *v = llama_model_get_vocab(p.model);
	std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)> grammar(
		llama_sampler_init_grammar(v, p.params.grammar.c_str(), "root"),
		llama_sampler_free);
	if (!grammar)
		return true; /* it is told there what is wrong with it */
	try {
		for (llama_token t : common_tokenize(
			     v, p.params.generation_prompt, false, true))
			llama_sampler_accept(grammar.get(), t);
		return true;
	} catch (const std::exception &) {
		return false;
	}
}

/* A call may follow any text. */
static bool set_beginning(common_params_sampling &s,
			  const common_shim_prompt &p)
{
	s.generation_prompt = p.params.generation_prompt;
	if (!p.parsing.is_continuation || p.params.grammar.empty() ||
	    s.grammar_lazy || fits_beginning(p))
		return true;
	s.generation_prompt.resize(s.generation_prompt.size() - p.begun);
	return p.grammar_type == COMMON_GRAMMAR_TYPE_TOOL_CALLS;
}

/* It changes what it is given. */
static bool make_sampler(const llama_model *model, const common_shim_prompt &p,
			 common_params_sampling s, common_shim_sampler &out,
			 const char *&exceeded)
{
	template_bounds bounds(s.grammar.grammar.size(), exceeded);
	if (!set_beginning(s, p))
		return false;
	out.sampler.reset(common_sampler_init(model, s));
	return true;
}

int common_shim_sampler_new(const struct llama_model *model,
			    const struct sample_spec *spec,
			    struct common_shim_sampler **out, struct err *e)
try {
	const common_shim_prompt &p = *spec->prompt;
	common_params_sampling s;
	s.no_perf = true;
	s.seed = spec->seed;
	s.temp = spec->temperature;
	s.top_k = spec->top_k;
	s.top_p = spec->top_p;
	s.min_p = spec->min_p;
	s.penalty_repeat = spec->repeat;
	s.penalty_freq = spec->frequency;
	s.penalty_present = spec->presence;
	s.penalty_last_n = spec->last_n;
	for (size_t i = 0; i < spec->n_biases; i++)
		s.logit_bias.push_back(
			{ spec->biases[i].token, spec->biases[i].bias });
	s.grammar = common_grammar(p.grammar_type, p.params.grammar);
	s.grammar_lazy = p.params.grammar_lazy;
	s.grammar_triggers = p.triggers;
	s.preserved_tokens = p.kept;
	set_budget(s, p);
	s.reasoning_budget_tokens = spec->budget;
	auto made = std::make_unique<common_shim_sampler>();
	const char *exceeded = nullptr;
	try {
		bool fits = make_sampler(model, p, s, *made, exceeded);
		if (exceeded)
			throw std::bad_alloc();
		if (!fits)
			return err_field(e, "messages",
					 "the answer that the last message "
					 "begins does not fit the format that "
					 "is asked for");
	} catch (const std::exception &x) {
		if (!exceeded)
			throw;
		return err_set(e, ERR_INVALID,
			       "the grammar of the answer is refused: it takes "
			       "more than %s",
			       exceeded);
	}
	*out = made.release();
	return 0;
} catch (const std::exception &x) {
	/* grammar_rewrite() has found no other mistake. */
	bool is_format =
		spec->prompt->grammar_type == COMMON_GRAMMAR_TYPE_OUTPUT_FORMAT;
	bool is_circle = std::strstr(x.what(), "failed to parse") != nullptr;
	failed(e, ERR_INVALID,
	       is_circle
		       ? "the grammar of the answer is refused (does a schema "
			 "refer to itself with nothing between?)"
		       : "the grammar of the answer is refused",
	       x);
	return err_at(e, is_format ? "response_format" : "tools");
}

void common_shim_sampler_free(struct common_shim_sampler *s)
{
	delete s;
}

void common_shim_sampler_saw(struct common_shim_sampler *s, int32_t token)
{
	common_sampler_accept(s->sampler.get(), token, false);
}

/* While it lives, the search of a token is bounded and counted. */
class search_bounds
{
	common_shim_sampler &of;
	const char *&exceeded;
	uint64_t began_ns;

      public:
	search_bounds(common_shim_sampler &s, const char *&out)
	    : of(s), exceeded(out)
	{
		uint64_t may = LIMIT_GRAMMAR_ANSWER_MS +
			       s.n_tokens * LIMIT_GRAMMAR_EACH_MS;
		struct bounds b;
		b.bytes = LIMIT_GRAMMAR_BYTES;
		b.time_ms = MIN(may > s.spent_ms ? may - s.spent_ms : 1,
				(uint64_t)LIMIT_GRAMMAR_TOKEN_MS);
		exceeded = nullptr;
		began_ns = bounds_cpu_ns();
		bounds_begin(&b);
	}
	~search_bounds()
	{
		exceeded = bounds_end();
		of.spent_ms += (bounds_cpu_ns() - began_ns) / 1000000;
		of.n_tokens++;
	}
};

static int32_t search(common_shim_sampler &s, llama_context *ctx, int32_t row,
		      const char *&exceeded)
{
	search_bounds bounds(s, exceeded);
	auto token = common_sampler_sample(s.sampler.get(), ctx, row);
	common_sampler_accept(s.sampler.get(), token, true);
	return token;
}

int32_t common_shim_sampler_next(struct common_shim_sampler *s,
				 struct llama_context *ctx, int32_t row)
{
	const char *exceeded = nullptr;
	try {
		int32_t token = search(*s, ctx, row, exceeded);
		return exceeded ? COMMON_SHIM_SLOW : token;
	} catch (const std::exception &) {
		return exceeded ? COMMON_SHIM_SLOW : COMMON_SHIM_NONE;
	}
}

void common_shim_memory(const struct llama_context *ctx,
			struct common_shim_bytes *out)
try {
	*out = {};
	for (const auto &[type, m] : llama_get_memory_breakdown(ctx)) {
		out->model += m.model;
		out->context += m.context;
		out->compute += m.compute;
	}
} catch (const std::exception &) {
	*out = {};
}
