/* common_shim.h - llama.cpp's C++ library "common" behind C functions: chat
 * templates, the parsing of answers (reasoning, tool calls), and sampling that
 * a grammar binds. No exception crosses; its message becomes an error's.
 *
 * Templates never change once they are open: several threads may render by
 * them. All else is a request's, and goes with it from thread to thread. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
#include "base/err.h"
#include "base/str.h"

struct common_shim_parser;
struct common_shim_prompt;
struct common_shim_sampler;
struct common_shim_templates;
struct llama_context;
struct llama_model;
struct sample_spec;

/* The model's chat templates, or the one in `text` (NULL: the model's). The
 * model must outlive it. */
must_use int common_shim_open(const struct llama_model *model, const char *text,
			      struct common_shim_templates **out,
			      struct err *e);
void common_shim_close(struct common_shim_templates *t);
/* Does the model bring a template of its own? */
bool common_shim_has_template(const struct common_shim_templates *t);

/* The template in force; borrowed. The loop thread's. */
struct str common_shim_template_text(const struct common_shim_templates *t);

/* A chat to be answered, as JSON texts; NULL where there is none. */
struct common_shim_ask {
	const char *messages;
	const char *tools;
	const char *shown_tools; /* the same as the model shall see them */
	const char *tool_choice; /* none, auto or required */
	const char *schema;	 /* that the answer must follow */
	const char *kwargs;	 /* an object: variables for the template */
	const char *effort;	 /* reasoning_effort, a plain word */
	int parallel;	  /* parallel tool calls: 0, 1; -1 is the model's */
	bool no_thinking; /* unless kwargs say otherwise */
	bool goes_on;	  /* the last message is the answer's beginning */
};

/* Renders the chat; *out is the caller's. Errors are ERR_INVALID. */
must_use int common_shim_render(const struct common_shim_templates *t,
				const struct common_shim_ask *ask,
				struct common_shim_prompt **out, struct err *e);
void common_shim_prompt_free(struct common_shim_prompt *p);
BASE_AUTO(common_shim_prompt);
struct str common_shim_prompt_text(const struct common_shim_prompt *p);
bool common_shim_prompt_has_grammar(const struct common_shim_prompt *p);
/* Borrowed; empty where there is none. */
struct str common_shim_prompt_grammar(const struct common_shim_prompt *p);
/* Has its reasoning an end that can be brought about? */
bool common_shim_prompt_thinks(const struct common_shim_prompt *p);
/* Stop strings of the template, besides the model's own end marks; NULL after
 * the last. */
const char *common_shim_prompt_stop(const struct common_shim_prompt *p,
				    size_t i);
/* A control token that the parser wants to see spelled out. */
bool common_shim_prompt_keeps(const struct common_shim_prompt *p,
			      int32_t token);

/* What a piece of the answer adds. Borrowed for the call. */
struct common_shim_delta {
	struct str content;
	struct str reasoning;
	int tool;	 /* index of the tool call, or -1 */
	struct str id;	 /* of a call that begins here, else empty */
	struct str name; /* likewise */
	struct str arguments;
};
typedef void (*common_shim_delta_fn)(void *ctx,
				     const struct common_shim_delta *d);

/* Takes an answer apart. */
struct common_shim_parser *common_shim_parser_new(
	const struct common_shim_prompt *p);
void common_shim_parser_free(struct common_shim_parser *p);
enum common_shim_more { COMMON_SHIM_MORE, COMMON_SHIM_CUT, COMMON_SHIM_END };
/* Adds whole characters of the answer; CUT is an answer that ended too early,
 * so that half a tool call is no error. */
must_use int common_shim_parse(struct common_shim_parser *p, struct str added,
			       enum common_shim_more more,
			       common_shim_delta_fn fn, void *ctx,
			       struct err *e);

/* Sampling under the grammar of spec->prompt. */
must_use int common_shim_sampler_new(const struct llama_model *model,
				     const struct sample_spec *spec,
				     struct common_shim_sampler **out,
				     struct err *e);
void common_shim_sampler_free(struct common_shim_sampler *s);
void common_shim_sampler_saw(struct common_shim_sampler *s, int32_t token);
/* A token, or why there is none; then it is not to be asked again. NONE:
 * nothing fits the grammar any more. SLOW: the search was ended by
 * LIMIT_GRAMMAR_*. */
enum { COMMON_SHIM_NONE = -1, COMMON_SHIM_SLOW = -2 };
int32_t common_shim_sampler_next(struct common_shim_sampler *s,
				 struct llama_context *ctx, int32_t row);

struct common_shim_bytes {
	uint64_t model, context, compute;
};
/* The memory that a context and its model take. */
void common_shim_memory(const struct llama_context *ctx,
			struct common_shim_bytes *out);
#ifdef __cplusplus
}
#endif
