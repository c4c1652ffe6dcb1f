/* main.c - modeld-llama: one model in one process, behind OpenAI's API. */
#include "base/limits.h"
#include "base/log.h"
#include "io/timer.h"
#include "llama/album.h"
#include "llama/bounds.h"
#include "llama/ceiling.h"
#include "llama/common_shim.h"
#include "llama/cores.h"
#include "llama/draft.h"
#include "llama/events.h"
#include "llama/lora.h"
#include "llama/mapped.h"
#include "llama/params.h"
#include "llama/prepare.h"
#include "llama/projector.h"
#include "llama/sandbox.h"
#include "llama/serve.h"
#include "llama/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

/* ---- options ---- */

/* OPT(member, "name", "VALUE", kind, "what it does"): kinds are COUNT (a whole
 * number, NUMBER_MOST at most), PART (0 to 1), WORD, POOLING, SWITCH, LEVEL,
 * SOURCES, and FILES, LORA and SCALED, which may be given several times. */
#define NUMBER_MOST 100000000
_Static_assert(LIMIT_CONTEXT <= NUMBER_MOST, "modeld sets it by --ctx-size");
#define OPTIONS                                                               \
	OPT(models, "model", "PATH", FILES,                                   \
	    "the GGUF file; once for each shard, in order")                   \
	OPT(listen, "listen", "ADDRESS", WORD, "unix:PATH or HOST:PORT")      \
	OPT(alias, "alias", "NAME", WORD,                                     \
	    "what the model is called (the file's name)")                     \
	OPT(events_fd, "events-fd", "N", COUNT,                               \
	    "tell events on this descriptor, and end when it closes")         \
	OPT(context, "ctx-size", "N", COUNT,                                  \
	    "tokens per request, all slots share them (by model and memory)") \
	OPT(slots, "parallel", "N", COUNT, "answers at once (4)")             \
	OPT(threads, "threads", "N", COUNT,                                   \
	    "never more than may be used (all that may be used)")             \
	OPT(batch, "batch-size", "N", COUNT,                                  \
	    "tokens computed at once (512; 2048 at most)")                    \
	OPT(cache_mib, "cache-ram", "MiB", COUNT,                             \
	    "prompts that lost their place, in memory (256; 0: none)")        \
	OPT(memory_mib, "memory-most", "MiB", COUNT,                          \
	    "what it may take, shut in and without a graphics card (all)")    \
	OPT(gpu_layers, "gpu-layers", "N", COUNT,                             \
	    "layers on a graphics card (as many as fit)")                     \
	OPT(mmproj, "mmproj", "PATH", WORD,                                   \
	    "the model's projector: with it, it takes images")                \
	OPT(chat_template, "chat-template-file", "PATH", WORD,                \
	    "a Jinja template in place of the model's")                       \
	OPT(lora, "lora", "[NAME=]PATH", LORA,                                \
	    "an adapter for the model (its name: the file's)")                \
	OPT(lora, "lora-scaled", "[NAME=]PATH:SCALE", SCALED,                 \
	    "the same, used so much by requests that do not say (1)")         \
	OPT(drafts, "model-draft", "PATH", FILES,                             \
	    "a smaller model that drafts for it; once for each shard")        \
	OPT(spec, "spec-type", "none|ngram-simple|draft-simple", SOURCES,     \
	    "where drafts come from, with commas (all that there are)")       \
	OPT(draft.most, "spec-draft-n-max", "N", COUNT,                       \
	    "tokens of a draft (16, at most that)")                           \
	OPT(draft.least, "spec-draft-n-min", "N", COUNT,                      \
	    "a shorter draft of the draft model is none (0)")                 \
	OPT(draft.p_min, "spec-draft-p-min", "P", PART,                       \
	    "where the draft model is less sure, its draft ends (0)")         \
	OPT(draft.is_adaptive, "spec-adaptive", "on|off", SWITCH,             \
	    "drafts only where they make answers faster (on)")                \
	OPT(pooling, "pooling", "none|mean|cls|last|rank", POOLING,           \
	    "make embeddings, pooled so, or a ranking (by model)")            \
	OPT(sandbox, "sandbox", "on|off", SWITCH,                             \
	    "may do nothing but serve this model (on)")                       \
	OPT(defaults, "defaults", "JSON", WORD,                               \
	    "what requests have that do not say: {\"temperature\":0.2}")      \
	OPT(level, "log-level", "error|warn|info|debug", LEVEL,               \
	    "how much to log (info)")

/* What llama.cpp's own programs call some of them, or called them. */
static const char *const also[][2] = {
	{ "-md", "model-draft" },
	{ "--spec-draft-model", "model-draft" },
	{ "--draft", "spec-draft-n-max" },
	{ "--draft-n", "spec-draft-n-max" },
	{ "--draft-max", "spec-draft-n-max" },
	{ "--draft-min", "spec-draft-n-min" },
	{ "--draft-n-min", "spec-draft-n-min" },
	{ "--draft-p-min", "spec-draft-p-min" },
};

struct files {
	const char **p; /* owned array of borrowed strings */
	size_t n;
};

/* Where drafts may come from. */
enum spec { SPEC_NGRAM = 1, SPEC_MODEL = 2 };

struct options {
	struct files models, drafts;
	unsigned spec;
	struct draft_options draft;
	struct lora *lora; /* owned */
	const char *mmproj, *listen, *alias, *chat_template, *defaults;
	int events_fd, context, slots, threads, batch, gpu_layers, pooling,
		cache_mib, memory_mib;
	bool sandbox;
	enum log_level level;
};

static int set_COUNT(struct options *o, int *to, const char *name,
		     const char *value, struct err *e)
{
	uint64_t n;
	(void)o;
	if (!str_to_u64(str_of(value), &n) || n > NUMBER_MOST)
		return err_set(e, ERR_USAGE,
			       "--%s takes a whole number up to %d, not '%s'",
			       name, NUMBER_MOST, value);
	*to = (int)n;
	return 0;
}

static int set_WORD(struct options *o, const char **to, const char *name,
		    const char *value, struct err *e)
{
	(void)o;
	(void)name;
	(void)e;
	*to = value;
	return 0;
}

static int set_FILES(struct options *o, struct files *to, const char *name,
		     const char *value, struct err *e)
{
	(void)o;
	(void)name;
	(void)e;
	to->p = xrealloc(to->p, (to->n + 1) * sizeof *to->p);
	to->p[to->n++] = value;
	return 0;
}

static int set_PART(struct options *o, float *to, const char *name,
		    const char *value, struct err *e)
{
	char *end = NULL;
	(void)o;
	*to = strtof(value, &end);
	if (end != value && !*end && *to >= 0 && *to <= 1)
		return 0;
	return err_set(e, ERR_USAGE,
		       "--%s takes a number from 0 to 1, not '%s'", name,
		       value);
}

static int set_SOURCES(struct options *o, unsigned *to, const char *name,
		       const char *value, struct err *e)
{
	static const struct {
		const char *word;
		unsigned source;
	} words[] = { { "none", 0 },
		      { "ngram-simple", SPEC_NGRAM },
		      { "draft-simple", SPEC_MODEL } };
	struct str rest = str_of(value), word;
	(void)o;
	*to = 0;
	while (str_split(&rest, ',', &word)) {
		size_t i = 0;
		while (i < ARRAY_LEN(words) && !str_eq(word, words[i].word))
			i++;
		if (i == ARRAY_LEN(words))
			return err_set(e, ERR_USAGE,
				       "--%s takes none, ngram-simple and "
				       "draft-simple, not '%.*s'",
				       name, STR_ARG(word));
		*to |= words[i].source;
	}
	return 0;
}

static int set_LORA(struct options *o, struct lora **to, const char *name,
		    const char *value, struct err *e)
{
	(void)o;
	return lora_add(*to, value, false, e) ? err_wrap(e, "--%s", name) : 0;
}

static int set_SCALED(struct options *o, struct lora **to, const char *name,
		      const char *value, struct err *e)
{
	(void)o;
	return lora_add(*to, value, true, e) ? err_wrap(e, "--%s", name) : 0;
}

static int set_POOLING(struct options *o, int *to, const char *name,
		       const char *value, struct err *e)
{
	/* llama.cpp's numbers. */
	static const char *const words[] = { "none", "mean", "cls", "last",
					     "rank" };
	(void)o;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(value, words[i]) == 0) {
			*to = (int)i;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE,
		       "--%s takes none, mean, cls, last or rank, not '%s'",
		       name, value);
}

static int set_SWITCH(struct options *o, bool *to, const char *name,
		      const char *value, struct err *e)
{
	(void)o;
	*to = strcmp(value, "on") == 0;
	if (*to || strcmp(value, "off") == 0)
		return 0;
	return err_set(e, ERR_USAGE, "--%s takes on or off, not '%s'", name,
		       value);
}

static int set_LEVEL(struct options *o, enum log_level *to, const char *name,
		     const char *value, struct err *e)
{
	(void)o;
	if (log_level_parse(value, to))
		return 0;
	return err_set(e, ERR_USAGE,
		       "--%s takes error, warn, info or debug, not '%s'", name,
		       value);
}

static void help(void)
{
	printf("usage: modeld-llama --model PATH --listen ADDRESS [OPTION]...\n"
	       "Serves one GGUF model behind OpenAI's API.\n\n");
#define OPT(member, name, value, kind, text) \
	printf("  --" name " " value "\n\t\t\t" text "\n");
	OPTIONS
#undef OPT
	printf("  --show-sandbox\n\t\t\tsay how far this kernel shuts it in\n"
	       "  --help, --version\n");
}

/* Splits "--name=value" and "--name value". */
static int next_option(char **argv, int *i, struct str *name,
		       const char **value, struct err *e)
{
	struct str arg = str_of(argv[*i]);
	for (size_t k = 0; k < ARRAY_LEN(also); k++) {
		if (!str_eq(arg, also[k][0]))
			continue;
		*name = str_of(also[k][1]);
		*value = argv[++*i];
		return 0;
	}
	if (!str_starts(arg, "--"))
		return err_set(e, ERR_USAGE,
			       "'%s' is not an option: see --help", argv[*i]);
	ptrdiff_t equals = str_find(arg, '=');
	*name = str_tail(arg, 2);
	*value = argv[*i + 1];
	if (equals > 0) {
		*name = str_head(*name, (size_t)equals - 2);
		*value = argv[*i] + equals + 1;
	} else {
		++*i;
	}
	return 0;
}

static int read_options(char **argv, struct options *o, struct err *e)
{
	for (int i = 1; argv[i]; i++) {
		struct str name = { 0 };
		const char *value = NULL;
		if (next_option(argv, &i, &name, &value, e))
			return -1;
#define OPT(member, word, shown, kind, text)                   \
	if (str_eq(name, word)) {                              \
		if (!value)                                    \
			return err_set(e, ERR_USAGE,           \
				       "--" word " needs a "   \
				       "value: " shown);       \
		if (set_##kind(o, &o->member, word, value, e)) \
			return -1;                             \
		continue;                                      \
	}
		OPTIONS
#undef OPT
		return err_set(e, ERR_USAGE,
			       "there is no option '--%.*s': see --help",
			       STR_ARG(name));
	}
	if (!o->models.n)
		return err_set(e, ERR_USAGE, "--model must be given");
	if (!o->listen)
		return err_set(e, ERR_USAGE, "--listen must be given");
	if (o->slots > LIMIT_SLOTS)
		return err_set(e, ERR_USAGE, "--parallel is %d at most",
			       LIMIT_SLOTS);
	if (!o->draft.most || o->draft.most > DRAFT_MOST)
		return err_set(e, ERR_USAGE, "--spec-draft-n-max is 1 to %d",
			       DRAFT_MOST);
	o->draft.looks_up = o->spec & SPEC_NGRAM;
	if (!(o->spec & SPEC_MODEL))
		o->drafts.n = 0;
	return 0;
}

/* ---- the program ---- */

struct program {
	struct options o;
	struct events *events;	 /* owned */
	struct weights *weights; /* owned */
	struct weights *drafts;	 /* owned; of the draft model, or NULL */
	char *alias;		 /* owned */
	json_t *defaults;	 /* owned; NULL: none */
	struct sandbox sandbox;
	uv_loop_t loop;
	uv_signal_t signals[2];
	struct timer drain; /* looks whether all is done */
	uint64_t drain_until_ms;
	struct serve serve;
};

static void on_progress(void *ctx, float fraction)
{
	struct program *p = ctx;
	events_loading(p->events, fraction);
}

/* "/models/smollm2.Q4.gguf" is called "smollm2.Q4". */
static char *default_alias(const char *path)
{
	struct str s = str_of(path);
	s = str_tail(s, (size_t)(str_find_last(s, '/') + 1));
	if (str_ends(s, ".gguf"))
		s.n -= strlen(".gguf");
	return str_dup(s);
}

static int read_template(const char *path, struct buf *out, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	for (;;) {
		char part[4096];
		ssize_t n = read(fd, part, sizeof part);
		if (n < 0)
			return err_sys(e, "read %s", path);
		if (n == 0)
			return 0;
		if (buf_put(out, part, (size_t)n))
			return err_set(e, ERR_USAGE,
				       "%s is larger than %zu bytes", path,
				       out->max);
	}
}

static int open_templates(struct program *p, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_GGUF_STRING_BYTES);
	if (p->o.chat_template && read_template(p->o.chat_template, &text, e))
		return -1;
	if (common_shim_open(weights_model(p->weights),
			     p->o.chat_template ? buf_str(&text).p : NULL,
			     &p->serve.templates, e))
		return -1;
	if (!common_shim_has_template(p->serve.templates))
		log_warn("the model brings no chat template; ChatML is used");
	return 0;
}

/* They are checked as a request's fields are, so that no request can fail for
 * them. */
static int read_defaults(struct program *p, struct err *e)
{
	struct params unused;
	if (!p->o.defaults)
		return 0;
	if (json_parse(str_of(p->o.defaults), &p->defaults, e) ||
	    params_parse(p->defaults, PARAMS_CHAT, &unused, e) ||
	    params_parse(p->defaults, PARAMS_COMPLETION, &unused, e)) {
		e->code = ERR_USAGE;
		return err_wrap(e, "--defaults");
	}
	p->serve.defaults = p->defaults;
	return 0;
}

/* Whoever reads the model from here on can do nothing else. */
static int shut_in(struct program *p, struct err *e)
{
	size_t n = 0, n_lora = lora_count(p->o.lora);
	auto_free const char **files = xcalloc(
		p->o.models.n + p->o.drafts.n + n_lora + 2, sizeof *files);
	for (size_t i = 0; i < p->o.models.n; i++)
		files[n++] = p->o.models.p[i];
	for (size_t i = 0; i < p->o.drafts.n; i++)
		files[n++] = p->o.drafts.p[i];
	files[n++] = p->o.chat_template;
	files[n++] = p->o.mmproj;
	for (size_t i = 0; i < n_lora; i++)
		files[n++] = lora_path(p->o.lora, i);
	struct sandbox_options o = { .files = files,
				     .n_files = n,
				     .has_gpu = p->o.gpu_layers != 0 &&
						weights_have_gpu() };
	/* A driver reserves memory also where it has nothing to do. */
	if (!weights_have_gpu())
		o.memory_bytes = (uint64_t)p->o.memory_mib << 20;
	cores_open();
	mapped_open();
	if (!p->o.sandbox)
		return 0;
	if (sandbox_enter(&o, &p->sandbox, e))
		return err_wrap(e, "--sandbox off would go on without");
	return 0;
}

/* What nobody asked for takes no more than it should of a small machine. */
static size_t cache_bytes(const struct options *o)
{
	if (o->cache_mib >= 0)
		return (size_t)o->cache_mib << 20;
	uint64_t share = cores_memory_bytes() / 16;
	return (size_t)MIN(share, (uint64_t)LIMIT_DEFAULT_CACHE_MIB << 20);
}

static void on_nothing(void *ctx, float fraction)
{
	(void)ctx;
	(void)fraction;
}

static int load_drafts(struct program *p, struct err *e)
{
	struct weights_options w = { .paths = p->o.drafts.p,
				     .n_paths = p->o.drafts.n,
				     .gpu_layers = p->o.gpu_layers,
				     .on_progress = on_nothing };
	if (!w.n_paths)
		return 0;
	if (weights_load(&w, &p->drafts, e))
		return err_wrap(e, "the draft model");
	p->o.draft.model = p->drafts;
	return 0;
}

/* Text goes on without it where it was left out of the build. */
static int load_projector(struct program *p, struct err *e)
{
	struct serve *s = &p->serve;
	struct projector_options o = {
		.path = p->o.mmproj,
		.weights = p->weights,
		.threads = p->o.threads ? p->o.threads : cores_usable(),
		.has_gpu = p->o.gpu_layers != 0 && weights_have_gpu()
	};
	if (!o.path)
		return 0;
	if (!projector_is_built()) {
		s->blind = "this model takes images, but this modeld-llama is "
			   "built without them: build it with IMAGES=on";
		log_warn("%s", s->blind);
		return 0;
	}
	if (projector_open(&o, &s->projector, e))
		return err_wrap(e, "the projector");
	s->album = album_new();
	return 0;
}

static int load(struct program *p, struct err *e)
{
	struct serve *s = &p->serve;
	struct weights_options w = { .paths = p->o.models.p,
				     .n_paths = p->o.models.n,
				     .gpu_layers = p->o.gpu_layers,
				     .on_progress = on_progress,
				     .ctx = p };
	if (weights_load(&w, &p->weights, e) || load_drafts(p, e) ||
	    lora_load(p->o.lora, p->weights, e) || load_projector(p, e))
		return -1;
	struct batch_options b = { .weights = p->weights,
				   .lora = p->o.lora,
				   .projector = s->projector,
				   .context = p->o.context,
				   .slots = p->o.slots,
				   .threads = p->o.threads,
				   .batch_tokens = p->o.batch,
				   .pooling = p->o.pooling,
				   .draft = &p->o.draft,
				   .cache_bytes = cache_bytes(&p->o) };
	s->weights = p->weights;
	s->lora = p->o.lora;
	if (batch_new(&p->loop, &b, &s->batch, e))
		return -1;
	return batch_facts(s->batch)->is_embedding ? 0 : open_templates(p, e);
}

static void on_change(void *ctx)
{
	struct program *p = ctx;
	size_t open = serve_open_answers(&p->serve);
	size_t running = MIN(batch_running(p->serve.batch), open);
	events_stats(p->events, running, open - running);
}

static void on_drain(void *ctx)
{
	struct program *p = ctx;
	size_t left = http_server_count(p->serve.http);
	if (left && timer_now_ms(&p->loop) < p->drain_until_ms) {
		timer_start(&p->drain, LIMIT_EVENT_EVERY_MS / 4);
		return;
	}
	if (left)
		log_warn("answers are cut, the time to drain is over "
			 "answers=%zu",
			 left);
	uv_stop(&p->loop);
}

static void on_signal(uv_signal_t *h, int number)
{
	struct program *p = h->data;
	if (p->serve.is_draining)
		return;
	log_info("draining signal=%d answers=%zu", number,
		 http_server_count(p->serve.http));
	serve_drain(&p->serve);
	p->drain_until_ms = timer_now_ms(&p->loop) + LIMIT_DRAIN_MS;
	on_drain(p);
}

static void watch_signals(struct program *p)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uv_signal_init(&p->loop, &p->signals[i]);
		p->signals[i].data = p;
		uv_signal_start(&p->signals[i], on_signal, numbers[i]);
		uv_unref((uv_handle_t *)&p->signals[i]);
	}
	timer_init(&p->drain, &p->loop, on_drain, p);
}

static void say_ready(struct program *p)
{
	const struct batch_facts *f = batch_facts(p->serve.batch);
	char sandbox[SANDBOX_TEXT_BYTES];
	sandbox_text(&p->sandbox, sandbox);
	log_info("ready address=%s port=%d kind=%s context=%d slots=%d "
		 "threads=%d model_bytes=%llu context_bytes=%llu "
		 "compute_bytes=%llu cache_bytes=%zu sandbox=\"%s\"",
		 p->o.listen, serve_port(&p->serve), batch_kind(f), f->context,
		 f->slots, f->threads, (unsigned long long)f->memory.model,
		 (unsigned long long)f->memory.context,
		 (unsigned long long)f->memory.compute, f->cache_bytes,
		 sandbox);
	events_ready(p->events, f, sandbox);
}

static int start(struct program *p, struct err *e)
{
	struct serve *s = &p->serve;
	p->events = events_new(p->o.events_fd);
	events_catch_asserts(p->events);
	bounds_tell(p->o.events_fd);
	p->alias = p->o.alias ? xstrdup(p->o.alias)
			      : default_alias(p->o.models.p[0]);
	s->loop = &p->loop;
	s->prepare = prepare_new(s->loop);
	s->alias = p->alias;
	s->started = time(NULL);
	s->on_change = on_change;
	s->ctx = p;
	/* Who connects while the model loads waits for it. */
	if (read_defaults(p, e) || weights_init(e) ||
	    serve_open(s, p->o.listen, e) || shut_in(p, e) || load(p, e) ||
	    events_watch(p->events, &p->loop, e))
		return -1;
	watch_signals(p);
	if (sandbox_seal(&p->sandbox, e))
		return -1;
	say_ready(p);
	return 0;
}

static void stop(struct program *p)
{
	serve_close(&p->serve);
	events_unwatch(p->events);
	timer_fini(&p->drain);
	for (size_t i = 0; i < ARRAY_LEN(p->signals); i++)
		if (p->signals[i].data)
			uv_close((uv_handle_t *)&p->signals[i], NULL);
	/* Its jobs use all that follows. */
	prepare_free(p->serve.prepare);
	batch_free(p->serve.batch);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	uv_loop_close(&p->loop);
	projector_free(p->serve.projector);
	album_free(p->serve.album);
	common_shim_close(p->serve.templates);
	weights_free(p->weights);
	weights_free(p->drafts);
	events_free(p->events);
	free(p->alias);
	json_decref(p->defaults);
	lora_free(p->o.lora);
	free(p->o.models.p);
	free(p->o.drafts.p);
}

static bool is_asked(char **argv, const char *word)
{
	for (int i = 1; argv[i]; i++)
		if (strcmp(argv[i], word) == 0)
			return true;
	return false;
}

/* Not what it should be: what came of it. */
static int show_sandbox(void)
{
	struct sandbox_options o = { 0 };
	struct sandbox s = { 0 };
	struct err e;
	char text[SANDBOX_TEXT_BYTES];
	if (sandbox_enter(&o, &s, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	sandbox_text(&s, text);
	puts(text);
	return 0;
}

int main(int argc, char **argv)
{
	static struct program p = { .o = { .events_fd = -1,
					   .gpu_layers = -1,
					   .pooling = -1,
					   .cache_mib = -1,
					   .sandbox = true,
					   .spec = SPEC_NGRAM | SPEC_MODEL,
					   .draft = { .is_adaptive = true,
						      .most = DRAFT_MOST },
					   .level = LOG_INFO } };
	struct err e = { 0 };
	(void)argc;
	if (is_asked(argv, "--help")) {
		help();
		return 0;
	}
	if (is_asked(argv, "--version")) {
		puts("modeld-llama " MODELD_VERSION);
		return 0;
	}
	if (is_asked(argv, "--show-sandbox"))
		return show_sandbox();
	p.o.lora = lora_new();
	if (read_options(argv, &p.o, &e)) {
		fprintf(stderr, "modeld-llama: %s\n", e.msg);
		lora_free(p.o.lora);
		free(p.o.models.p);
		free(p.o.drafts.p);
		return 2;
	}
	log_init("modeld-llama", p.o.level);
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&p.loop);
	int status = 0;
	if (start(&p, &e)) {
		ceiling_explain(&e);
		log_error("%s", e.msg);
		events_failed(p.events, &e);
		status = err_exit_status(e.code);
	} else {
		uv_run(&p.loop, UV_RUN_DEFAULT);
	}
	stop(&p);
	return status;
}
