#include "llama/generate.h"

#include "base/limits.h"
#include "base/log.h"
#include "http/sse.h"
#include "llama/images.h"
#include "llama/respond.h"
#include "llama/settings.h"
#include "llama/weights.h"

#include <sys/random.h>
#include <time.h>

static void generate_free(struct generate *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_choices; i++) {
		if (g->choices[i].task)
			batch_cancel(g->choices[i].task);
		choice_fini(&g->choices[i]);
	}
	for (size_t i = 0; i < g->n_prompts; i++) {
		tokens_fini(&g->prompts[i].tokens);
		runs_fini(&g->prompts[i].runs);
		free(g->prompts[i].own_echo);
	}
	images_free(g->images);
	free(g->choices);
	free(g->prompts);
	free(g->stops);
	free(g->biases);
	common_shim_prompt_free(g->chat);
	buf_fini(&g->text);
	prepare_drop(g->serve->prepare, g->body, g->job.ask.n_bytes);
	writer_fini(&g->head);
	writer_fini(&g->out);
	timer_fini(&g->silence);
	serve_on_change(g->serve);
	free(g);
}

void generate_prompts(struct generate *g, size_t n)
{
	g->prompts = xcalloc(n, sizeof *g->prompts);
	g->n_prompts = n;
}

/* ---- words of the answer ---- */

static void put_head(struct generate *g)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789";
	unsigned char noise[24];
	char id[sizeof noise + 1] = { 0 };
	struct writer *w = &g->head;
	bool chunked = g->params.stream;
	if (getrandom(noise, sizeof noise, 0) < 0)
		memset(noise, 0, sizeof noise);
	for (size_t i = 0; i < sizeof noise; i++)
		id[i] = digits[noise[i] % (sizeof digits - 1)];
	writer_put(w, "{\"id\":\"%s%s\",\"object\":\"%s\",\"created\":%lld,",
		   g->kind->id_prefix, id,
		   chunked ? g->kind->chunk : g->kind->whole,
		   (long long)time(NULL));
	/* The model is called as the client called it. */
	writer_raw(w, STR("\"model\":"));
	writer_json(w, g->params.model.p ? g->params.model
					 : str_of(g->serve->alias));
	writer_raw(w, STR(",\"system_fingerprint\":\"modeld-" MODELD_VERSION
			  "\","));
}

/* Of all choices; each prompt counts once, however many answers it has. */
static struct batch_times totals(const struct generate *g)
{
	struct batch_times sum = { 0 };
	size_t n = (size_t)g->params.n;
	for (size_t i = 0; i < g->n_choices; i++) {
		const struct batch_times *t = &g->choices[i].times;
		sum.n_made += t->n_made;
		sum.n_drafted += t->n_drafted;
		sum.n_accepted += t->n_accepted;
		if (i % n == 0) {
			sum.n_prompt += g->prompts[i / n].tokens.n;
			sum.n_cached += t->n_cached;
		}
		if (!sum.began_ns || t->began_ns < sum.began_ns)
			sum.began_ns = t->began_ns;
		sum.prompt_done_ns = MAX(sum.prompt_done_ns, t->prompt_done_ns);
		sum.last_ns = MAX(sum.last_ns, t->last_ns);
	}
	return sum;
}

static void put_usage(struct writer *w, const struct generate *g,
		      const struct batch_times *t)
{
	size_t n_reasoning = 0;
	for (size_t i = 0; i < g->n_choices; i++)
		if (g->choices[i].reasons)
			n_reasoning += g->choices[i].n_reasoning;
	writer_put(w,
		   "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
		   "\"total_tokens\":%zu,\"prompt_tokens_details\":"
		   "{\"cached_tokens\":%zu},\"completion_tokens_details\":"
		   "{\"reasoning_tokens\":%zu}}",
		   t->n_prompt, t->n_made, t->n_prompt + t->n_made, t->n_cached,
		   n_reasoning);
}

static double per_second(size_t n, double ms)
{
	return ms > 0 ? (double)n * 1000 / ms : 0;
}

static void put_timings(struct writer *w, const struct batch_times *t)
{
	double prompt_ms = (double)(t->prompt_done_ns - t->began_ns) / 1e6;
	double made_ms = (double)(t->last_ns - t->prompt_done_ns) / 1e6;
	size_t computed = t->n_prompt - t->n_cached;
	writer_put(w,
		   ",\"timings\":{\"cache_n\":%zu,\"prompt_n\":%zu,"
		   "\"prompt_ms\":%.3f,\"prompt_per_second\":%.3f,"
		   "\"predicted_n\":%zu,\"predicted_ms\":%.3f,"
		   "\"predicted_per_second\":%.3f",
		   t->n_cached, computed, prompt_ms,
		   per_second(computed, prompt_ms), t->n_made, made_ms,
		   per_second(t->n_made, made_ms));
	if (t->n_drafted)
		writer_put(w, ",\"draft_n\":%zu,\"draft_n_accepted\":%zu",
			   t->n_drafted, t->n_accepted);
	writer_raw(w, STR("}"));
}

/* A piece of a stream that has none of them says null, a whole answer that
 * they were asked for has lists, be they empty. */
static void put_probs(struct generate *g, struct writer *w, struct choice *c)
{
	writer_raw(w, STR(",\"logprobs\":"));
	if (g->n_top < 0 || (g->params.stream && !c->probs[0].buf.n))
		writer_raw(w, STR("null"));
	else
		g->kind->put_probs(w, c);
}

static void put_finish(struct writer *w, const char *finish)
{
	if (finish)
		writer_put(w, ",\"finish_reason\":\"%s\"}", finish);
	else
		writer_raw(w, STR(",\"finish_reason\":null}"));
}

/* ---- the stream ---- */

static void start_stream(struct generate *g)
{
	if (exchange_is_started(g->x))
		return;
	exchange_add(g->x, "Content-Type", STR(SSE_TYPE));
	exchange_add(g->x, "Cache-Control", STR("no-cache"));
	exchange_start(g->x, 200, EXCHANGE_CHUNKED);
}

static void pause_all(struct generate *g, bool is_paused)
{
	g->is_full = is_paused;
	for (size_t i = 0; i < g->n_choices; i++)
		if (g->choices[i].task)
			batch_pause(g->choices[i].task, is_paused);
}

static void send(struct generate *g, struct str bytes)
{
	start_stream(g);
	timer_start(&g->silence, LIMIT_STREAM_SILENCE_MS);
	if (exchange_write(g->x, bytes) == STREAM_FULL && !g->is_full)
		pause_all(g, true);
}

static void on_silence(void *ctx)
{
	struct generate *g = ctx;
	if (!exchange_is_started(g->x)) {
		start_stream(g);
		timer_start(&g->silence, LIMIT_STREAM_SILENCE_MS);
		return;
	}
	send(g, STR(": still at work\n\n"));
}

static void send_piece(struct choice *c, const struct common_shim_delta *d)
{
	struct generate *g = c->request;
	struct writer *w = &g->out;
	bool is_end = c->finish && !d && g->n_running == 1;
	writer_clear(w);
	writer_raw(w, STR("data: "));
	writer_raw(w, writer_str(&g->head));
	writer_put(w, "\"choices\":[{\"index\":%zu,", c->index);
	g->kind->put_delta(w, c, d);
	put_probs(g, w, c);
	put_finish(w, d ? NULL : c->finish);
	writer_raw(w, STR("]"));
	if (g->wants_usage) {
		writer_raw(w, STR(",\"usage\":null"));
	} else if (is_end) {
		struct batch_times t = totals(g);
		put_timings(w, &t);
	}
	writer_raw(w, STR("}\n\n"));
	choice_clear_probs(c);
	send(g, writer_str(w));
}

/* ---- its end ---- */

static void count(struct generate *g)
{
	struct serve_counts *n = &g->serve->counts;
	struct batch_times t = totals(g);
	n->prompt_tokens += t.n_prompt - t.n_cached;
	n->cached_tokens += t.n_cached;
	n->made_tokens += t.n_made;
	n->prompt_s += (double)(t.prompt_done_ns - t.began_ns) / 1e9;
	n->made_s += (double)(t.last_ns - t.prompt_done_ns) / 1e9;
}

static void fail(struct generate *g, const struct err *e)
{
	struct writer *w = &g->out;
	g->serve->counts.failures++;
	if (exchange_is_started(g->x)) {
		writer_clear(w);
		writer_raw(w, STR("data: "));
		respond_put_error(w, e);
		writer_raw(w, STR("\n\n" SSE_DONE));
		exchange_write(g->x, writer_str(w));
		exchange_end(g->x);
	} else {
		respond_error(g->x, e);
	}
	generate_free(g);
}

static void end_stream(struct generate *g)
{
	struct writer *w = &g->out;
	struct batch_times t = totals(g);
	writer_clear(w);
	if (g->wants_usage) {
		writer_raw(w, STR("data: "));
		writer_raw(w, writer_str(&g->head));
		writer_raw(w, STR("\"choices\":[],"));
		put_usage(w, g, &t);
		put_timings(w, &t);
		writer_raw(w, STR("}\n\n"));
	}
	writer_raw(w, STR(SSE_DONE));
	send(g, writer_str(w));
	exchange_end(g->x);
}

static void reply_whole(struct generate *g)
{
	struct writer *w = &g->out;
	struct batch_times t = totals(g);
	writer_clear(w);
	writer_raw(w, writer_str(&g->head));
	writer_raw(w, STR("\"choices\":["));
	for (size_t i = 0; i < g->n_choices; i++) {
		struct choice *c = &g->choices[i];
		writer_put(w, "%s{\"index\":%zu,", i ? "," : "", c->index);
		g->kind->put_whole(w, c);
		put_probs(g, w, c);
		put_finish(w, c->finish);
		w->is_full |= c->content.is_full || c->probs[0].is_full;
	}
	writer_raw(w, STR("],"));
	put_usage(w, g, &t);
	put_timings(w, &t);
	writer_raw(w, STR("}"));
	respond_json(g->x, 200, w);
}

static void finish(struct choice *c, const char *reason)
{
	struct generate *g = c->request;
	c->task = NULL;
	c->finish = c->called && strcmp(reason, "stop") == 0 ? "tool_calls"
							     : reason;
	if (g->params.stream)
		send_piece(c, NULL);
	if (--g->n_running)
		return;
	count(g);
	if (g->params.stream)
		end_stream(g);
	else
		reply_whole(g);
	generate_free(g);
}

/* ---- what the compute thread tells ---- */

static void on_delta(void *ctx, const struct common_shim_delta *d)
{
	struct choice *c = ctx;
	choice_show_probs(c);
	c->called |= d->tool >= 0;
	c->reasons |= d->reasoning.n > 0;
	c->answers |= d->content.n > 0 || d->tool >= 0;
	if (c->request->params.stream)
		send_piece(c, d);
	else
		choice_keep(c, d);
}

/* What comes before the first text: a chat's role, the prompt's echo. */
static void tell_start(struct choice *c)
{
	struct generate *g = c->request;
	struct common_shim_delta echo = {
		.content = g->prompts[c->index / (size_t)g->params.n].echo,
		.tool = -1,
	};
	if (c->is_told)
		return;
	c->is_told = true;
	if (g->params.stream && g->kind->has_start)
		send_piece(c, NULL);
	if (echo.content.n)
		on_delta(c, &echo);
}

/* Probabilities of a hundred answers may be gigabytes, which nobody would get:
 * the answer has a ceiling. */
static int check_size(const struct generate *g, struct err *e)
{
	size_t n = 0;
	for (size_t i = 0; i < g->n_choices; i++)
		n += choice_bytes(&g->choices[i]);
	return n < LIMIT_ANSWER_BYTES ? 0 : respond_too_large(e);
}

static void on_token(void *ctx, const struct batch_token *t)
{
	struct choice *c = ctx;
	struct generate *g = c->request;
	struct err e;
	c->times = batch_times(c->task);
	if (!t->is_prompt)
		tell_start(c);
	if (g->n_top >= 0) {
		g->kind->add_prob(c, t);
		if (check_size(g, &e)) {
			fail(g, &e);
			return;
		}
	}
	if (t->is_prompt)
		return;
	int outcome = choice_add(c, t->id, on_delta, c, &e);
	c->n_reasoning += !c->answers;
	if (outcome < 0) {
		fail(g, &e);
	} else if (outcome == CHOICE_STOPPED) {
		choice_cut_probs(c);
		batch_cancel(c->task);
		finish(c, "stop");
	}
}

static void on_end(void *ctx, enum batch_end why, const struct err *failure)
{
	struct choice *c = ctx;
	struct generate *g = c->request;
	struct err e;
	c->times = batch_times(c->task);
	c->task = NULL;
	if (why == BATCH_FAILED) {
		fail(g, failure);
		return;
	}
	tell_start(c);
	if (choice_end(c, why, on_delta, c, &e))
		fail(g, &e);
	else
		finish(c, why == BATCH_STOP ? "stop" : "length");
}

static const struct batch_fns batch_fns = { .on_token = on_token,
					    .on_end = on_end };

/* ---- its beginning, by the job ---- */

static struct batch_ask ask_of(const struct generate *g,
			       const struct generate_prompt *p)
{
	bool tells_prompt = p->echo.n && g->n_top >= 0;
	struct batch_ask ask = {
		.max_tokens = g->params.max_tokens,
		.n_top = g->n_top,
		.tells_prompt = tells_prompt,
		.is_fresh = tells_prompt || !g->params.cache_prompt,
		.owner = g->owner,
	};
	tokens_add(&ask.tokens, &p->tokens);
	runs_copy(&p->runs, &ask.runs);
	return ask;
}

static int make_choice(struct generate *g, struct err *e)
{
	size_t i = g->n_choices;
	struct choice *c = &g->choices[i];
	struct sample_spec spec = settings_sampling(g, i);
	c->request = g;
	c->index = i;
	c->ask = ask_of(g, &g->prompts[i / (size_t)g->params.n]);
	choice_init(c, weights_vocab(g->serve->weights), g->stops, g->n_stops,
		    g->chat);
	g->n_choices++;
	return sample_new(g->serve->weights, &spec, &c->ask.sample, e);
}

static int make_choices(struct generate *g, struct err *e)
{
	const char *field = g->chat ? "messages" : "prompt";
	size_t n = g->n_prompts * (size_t)g->params.n;
	for (size_t i = 0; i < g->n_prompts; i++) {
		size_t n_tokens = g->prompts[i].tokens.n;
		if (!n_tokens)
			return err_field(e, field,
					 "the prompt is empty: there must be "
					 "text in '%s'",
					 field);
		if (serve_fits(g->serve, n_tokens, field, e))
			return -1;
	}
	if (n > LIMIT_CHOICES)
		return err_field(e, "n",
				 "%zu prompts with %zu answers each are more "
				 "than the %d answers of one request",
				 g->n_prompts, (size_t)g->params.n,
				 LIMIT_CHOICES);
	g->choices = xcalloc(n, sizeof *g->choices);
	while (g->n_choices < n)
		if (prepare_check(&g->job, e) || make_choice(g, e))
			return -1;
	return 0;
}

static int read(void *ctx, struct err *e)
{
	struct generate *g = ctx;
	if (params_take_body(&g->text, &g->body, e))
		return -1;
	params_fill(g->body, g->serve->defaults);
	if (params_parse(g->body, g->kind->where, &g->params, e) ||
	    lora_read(g->serve->lora, g->params.lora, &g->owner.lora, e) ||
	    settings_read(g, e) || g->kind->read(g, e))
		return -1;
	return g->images ? 0 : make_choices(g, e);
}

static int read_images(void *ctx, struct err *e)
{
	struct generate *g = ctx;
	if (images_read(g->images, &g->job, e) ||
	    images_prompt(g->images, common_shim_prompt_text(g->chat),
			  &g->prompts[0], e))
		return -1;
	return make_choices(g, e);
}

/* ---- its beginning, by the loop ---- */

static void run(struct generate *g)
{
	g->n_running = g->n_choices;
	if (g->params.stream)
		timer_start(&g->silence, LIMIT_STREAM_HEAD_MS);
	for (size_t i = 0; i < g->n_choices; i++) {
		struct choice *c = &g->choices[i];
		c->task = batch_start(g->serve->batch, &c->ask, &batch_fns, c);
	}
	serve_on_change(g->serve);
}

static void start_job(struct generate *g, job_work_fn work);

static void on_prepared(void *ctx, int outcome, const struct err *failure)
{
	struct generate *g = ctx;
	struct err e;
	if (outcome == PREPARE_LEFT) {
		generate_free(g);
	} else if (outcome) {
		fail(g, failure);
	} else if (!g->choices) {
		start_job(g, read_images);
	} else if (serve_has_room(g->serve, &g->owner, g->n_choices, &e)) {
		fail(g, &e);
	} else {
		put_head(g);
		run(g);
	}
}

static void start_job(struct generate *g, job_work_fn work)
{
	struct prepare_ask ask = { .caller = serve_caller(g->x),
				   .n_bytes = g->text.n ? g->text.n
							: g->job.ask.n_bytes,
				   .has_pictures = work == read_images,
				   .work = work,
				   .done = on_prepared,
				   .ctx = g };
	prepare_start(g->serve->prepare, &g->job, &ask);
	serve_on_change(g->serve);
}

static void on_body(void *ctx, struct str body)
{
	struct generate *g = ctx;
	struct err e;
	(void)body;
	g->serve->counts.requests++;
	if (serve_needs_text(g->serve, &e) ||
	    serve_read_owner(g->x, &g->owner, &e)) {
		fail(g, &e);
		return;
	}
	exchange_take_body(g->x, &g->text);
	start_job(g, read);
}

static void on_gone(void *ctx)
{
	struct generate *g = ctx;
	if (prepare_leave(&g->job))
		generate_free(g);
	else
		serve_on_change(g->serve);
}

/* What is drained may be the answer before this one, while a job has this
 * request. */
static void on_drain(void *ctx)
{
	struct generate *g = ctx;
	if (g->is_full)
		pause_all(g, false);
}

void generate_start(struct serve *s, struct http_exchange *x,
		    const struct generate_kind *kind)
{
	static const struct exchange_fns fns = { on_gone, on_drain };
	struct generate *g = xcalloc(1, sizeof *g);
	g->serve = s;
	g->x = x;
	g->kind = kind;
	g->n_top = -1;
	g->head = WRITER(LIMIT_ANSWER_BYTES);
	g->out = WRITER(LIMIT_ANSWER_BYTES);
	timer_init(&g->silence, s->loop, on_silence, g);
	exchange_set_fns(x, &fns, g);
	exchange_collect(x, LIMIT_INFER_BODY_BYTES, on_body, g);
}
