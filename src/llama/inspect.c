/* inspect.c - GET /props, /slots and /lora-adapters: what is in force and how
 * busy it is, in llama-server's form as far as it goes. No path of the host,
 * and nothing of what anybody asked. */
#include "llama/common_shim.h"
#include "llama/params.h"
#include "llama/respond.h"
#include "llama/serve.h"
#include "llama/weights.h"

#include <llama.h>

/* "params": what a request has that says nothing. */
static void put_defaults(const struct serve *s, struct writer *w)
{
	struct params p;
	struct err e;
	const char *comma = "";
	auto_json *body = json_object();
	params_fill(body, s->defaults);
	/* They were checked at the start. */
	if (params_parse(body, PARAMS_CHAT, &p, &e))
		return;
#define FIELD(where, name, format, value)                              \
	if ((where)&PARAMS_CHAT) {                                     \
		writer_put(w, "%s\"" name "\":" format, comma, value); \
		comma = ",";                                           \
	}
#define INT(member, name, where, least, most, absent) \
	FIELD(where, name, "%lld", (long long)p.member)
#define NUM(member, name, where, least, most, absent) \
	FIELD(where, name, "%.9g", p.member)
#define BOOL(member, name, where, absent) \
	FIELD(where, name, "%s", p.member ? "true" : "false")
#define TEXT(member, name, where)
#define TREE(member, name, where, shapes)
#include "llama/params_fields.h"
#undef FIELD
}

static void put_token(const struct serve *s, struct writer *w, const char *name,
		      int32_t id)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_SMALL_BODY_BYTES);
	writer_put(w, ",\"%s\":", name);
	if (id == LLAMA_TOKEN_NULL ||
	    tokens_put_text(weights_vocab(s->weights), id, true, &text))
		writer_raw(w, STR("null"));
	else
		writer_json(w, buf_str(&text));
}

void inspect_props(void *serve, struct http_exchange *x,
		   const struct route_match *m)
{
	const struct serve *s = serve;
	const struct batch_facts *f = batch_facts(s->batch);
	const struct llama_vocab *v = weights_vocab(s->weights);
	auto_writer struct writer w = WRITER(LIMIT_ANSWER_BYTES);
	(void)m;
	writer_put(&w,
		   "{\"default_generation_settings\":{\"n_ctx\":%d,"
		   "\"params\":{",
		   f->context);
	put_defaults(s, &w);
	writer_put(&w, "}},\"total_slots\":%d,\"model_alias\":", f->slots);
	writer_json(&w, str_of(s->alias));
	writer_put(&w,
		   ",\"kind\":\"%s\",\"threads\":%d,\"build_info\":"
		   "\"modeld-llama " MODELD_VERSION "\",\"modalities\":"
		   "{\"vision\":%s,\"audio\":false},\"chat_template\":",
		   batch_kind(f), f->threads, s->projector ? "true" : "false");
	if (s->templates)
		writer_json(&w, common_shim_template_text(s->templates));
	else
		writer_raw(&w, STR("null"));
	put_token(s, &w, "bos_token", llama_vocab_bos(v));
	put_token(s, &w, "eos_token", llama_vocab_eos(v));
	writer_raw(&w, STR("}"));
	respond_json(x, 200, &w);
}

void inspect_slots(void *serve, struct http_exchange *x,
		   const struct route_match *m)
{
	const struct serve *s = serve;
	const struct batch_facts *f = batch_facts(s->batch);
	auto_writer struct writer w = WRITER(LIMIT_ANSWER_BYTES);
	(void)m;
	writer_raw(&w, STR("["));
	for (int i = 0; i < f->slots; i++) {
		size_t n_tokens;
		bool is_busy = batch_slot(s->batch, i, &n_tokens);
		/* Vectors have no place of their own. */
		if (f->is_embedding)
			is_busy = (size_t)i < batch_running(s->batch);
		writer_put(&w,
			   "%s{\"id\":%d,\"n_ctx\":%d,\"is_processing\":%s,"
			   "\"n_tokens\":%zu}",
			   i ? "," : "", i, f->context,
			   is_busy ? "true" : "false", n_tokens);
	}
	writer_raw(&w, STR("]"));
	respond_json(x, 200, &w);
}

void inspect_adapters(void *serve, struct http_exchange *x,
		      const struct route_match *m)
{
	const struct serve *s = serve;
	auto_writer struct writer w = WRITER(LIMIT_ANSWER_BYTES);
	(void)m;
	lora_put(s->lora, &w);
	respond_json(x, 200, &w);
}
