#include "llama/weights.h"

#include "base/limits.h"
#include "base/log.h"
#include "llama/backends.h"
#include "llama/cpu_own.h"
#include "llama/mapped.h"
#include "model/gguf.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <llama.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

struct weights {
	struct llama_model *model; /* owned */
	struct tokens enders;
	size_t longest;
	bool has_positions;
	struct mapped copied; /* of the files */
};

/* llama.cpp has one log for the whole process, so what it said last is global
 * too. It comes from any thread, in pieces of a line. */
static struct {
	pthread_mutex_t mutex;
	enum ggml_log_level level;
	char line[LIMIT_LOG_LINE_BYTES];
	size_t n;
	char complaint[300];
} said = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* It warns of each tensor of an adapter that is not repacked, and none is. */
static enum log_level level_of(struct str line)
{
	static const char usual[] = "fallback to CPU";
	if (said.level == GGML_LOG_LEVEL_ERROR)
		return LOG_ERROR;
	bool warns = said.level == GGML_LOG_LEVEL_WARN &&
		     !memmem(line.p, line.n, usual, sizeof usual - 1);
	return warns ? LOG_WARN : LOG_DEBUG;
}

static void end_line(void)
{
	struct str line = { said.line, said.n };
	bool is_error = said.level == GGML_LOG_LEVEL_ERROR;
	said.n = 0;
	if (!line.n)
		return;
	/* The first complaint says why, those after it where. */
	if (is_error && !said.complaint[0])
		snprintf(said.complaint, sizeof said.complaint, "%.*s",
			 STR_ARG(line));
	log_relay(level_of(line), "llama.cpp", line);
}

static void on_log(enum ggml_log_level level, const char *text, void *unused)
{
	(void)unused;
	pthread_mutex_lock(&said.mutex);
	if (level != GGML_LOG_LEVEL_CONT)
		said.level = level;
	for (; *text; text++) {
		if (*text == '\n')
			end_line();
		else if (said.n < sizeof said.line)
			said.line[said.n++] = *text;
	}
	pthread_mutex_unlock(&said.mutex);
}

/* What llama.cpp's words mean for whoever wants to run the model. */
static enum err_code meaning(const char *text, enum err_code otherwise)
{
	static const struct {
		const char *words;
		enum err_code code;
	} known[] = {
		{ "unknown model architecture", ERR_UNSUPPORTED },
		{ "unknown pre-tokenizer", ERR_UNSUPPORTED },
		{ "not supported", ERR_UNSUPPORTED },
		{ "unable to allocate", ERR_MEMORY },
		{ "failed to allocate", ERR_MEMORY },
		{ "out of memory", ERR_MEMORY },
		{ "insufficient memory", ERR_MEMORY },
		{ "bad_alloc", ERR_MEMORY },
		{ "failed to open", ERR_NOT_FOUND },
		{ "gguf", ERR_CORRUPT },
		{ "tensor", ERR_CORRUPT },
		{ "key not found", ERR_CORRUPT },
		{ "magic", ERR_CORRUPT },
		{ "corrupted or incomplete", ERR_CORRUPT },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcasestr(text, known[i].words))
			return known[i].code;
	return otherwise;
}

int weights_complaint(enum err_code otherwise, struct err *e)
{
	char text[sizeof said.complaint];
	pthread_mutex_lock(&said.mutex);
	memcpy(text, said.complaint, sizeof text);
	said.complaint[0] = '\0';
	pthread_mutex_unlock(&said.mutex);
	if (!text[0])
		return err_set(e, otherwise, "llama.cpp failed without a word");
	return err_set(e, meaning(text, otherwise), "%s", text);
}

int weights_init(struct err *e)
{
	Dl_info here;
	llama_log_set(on_log, NULL);
	/* Backends built into ggml are there already; the others are chosen by
	 * what this machine's CPU can do. */
	if (ggml_backend_reg_count() == 0 &&
	    dladdr((void *)llama_backend_init, &here) && here.dli_fname) {
		auto_free char *folder = xstrdup(here.dli_fname);
		char *slash = strrchr(folder, '/');
		if (slash)
			*slash = '\0';
		backends_load(slash ? folder : ".");
	}
	if (!ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU))
		return err_set(e, ERR_SYSTEM,
			       "llama.cpp's CPU backend is missing: the files "
			       "libggml-cpu-*.so belong beside libllama");
	if (!cpu_own_register())
		log_debug("ggml's own products are used for all weights");
	llama_backend_init();
	return 0;
}

bool weights_have_gpu(void)
{
	return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) ||
	       ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU);
}

struct llama_model *weights_model(const struct weights *w)
{
	return w->model;
}

const struct llama_vocab *weights_vocab(const struct weights *w)
{
	return llama_model_get_vocab(w->model);
}

const struct tokens *weights_enders(const struct weights *w)
{
	return &w->enders;
}

size_t weights_longest(const struct weights *w)
{
	return w->longest;
}

bool weights_has_positions(const struct weights *w)
{
	return w->has_positions;
}

bool weights_meta(const struct weights *w, const char *key, char *out,
		  size_t cap)
{
	char family[64], full[200];
	if (llama_model_meta_val_str(w->model, "general.architecture", family,
				     sizeof family) < 0)
		return false;
	snprintf(full, sizeof full, "%s.%s", family, key);
	return llama_model_meta_val_str(w->model, full, out, cap) >= 0;
}

bool weights_is_a(const struct weights *w, const char *architecture)
{
	char family[64];
	return llama_model_meta_val_str(w->model, "general.architecture",
					family, sizeof family) >= 0 &&
	       strcmp(family, architecture) == 0;
}

bool weights_is_embedding(const struct weights *w)
{
	char value[32];
	if (weights_meta(w, "pooling_type", value, sizeof value) &&
	    strcmp(value, "0") != 0)
		return true;
	return weights_meta(w, "attention.causal", value, sizeof value) &&
	       strcmp(value, "false") == 0;
}

int weights_read_head(const char *path, struct gguf_file **out, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		enum err_code code =
			errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
		return err_set(e, code, "open %s: %s", path, strerror(errno));
	}
	if (gguf_read(fd, out, e) == 0)
		return 0;
	if (e->code == ERR_INVALID)
		e->code = ERR_CORRUPT;
	return err_wrap(e, "%s", path);
}

/* Answers for llama.cpp, whose words on these are vague and whose trust in a
 * file is large. */
static int check_file(struct weights *w, const char *path, struct err *e)
{
	auto_(gguf_file) g = NULL;
	if (weights_read_head(path, &g, e))
		return -1;
	const char *type = gguf_find(g, "general.type");
	if (type && strcmp(type, "adapter") == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "this is an adapter and no model: give "
			       "it to its model with --lora");
	w->has_positions |= g->has_positions;
	return 0;
}

static int check_kind(const struct weights *w, struct err *e)
{
	if (llama_model_has_encoder(w->model) &&
	    llama_model_has_decoder(w->model))
		return err_set(e, ERR_UNSUPPORTED,
			       "encoder-decoder models are not supported");
	if (llama_model_is_diffusion(w->model))
		return err_set(e, ERR_UNSUPPORTED,
			       "diffusion models are not supported");
	if (llama_vocab_type(weights_vocab(w)) == LLAMA_VOCAB_TYPE_NONE)
		return err_set(e, ERR_UNSUPPORTED,
			       "the model has no vocabulary");
	return 0;
}

static bool on_progress(float fraction, void *ctx)
{
	const struct weights_options *o = ctx;
	o->on_progress(o->ctx, fraction);
	return true;
}

int weights_load(const struct weights_options *o, struct weights **out,
		 struct err *e)
{
	auto_(weights) w = xcalloc(1, sizeof *w);
	struct llama_model_params p = llama_model_default_params();
	p.n_gpu_layers = o->gpu_layers;
	p.progress_callback = on_progress;
	p.progress_callback_user_data = (void *)o;
	for (size_t i = 0; i < o->n_paths; i++)
		if (check_file(w, o->paths[i], e))
			return -1;
	if (o->n_paths == 1)
		w->model = llama_model_load_from_file(o->paths[0], p);
	else
		w->model = llama_model_load_from_splits((const char **)o->paths,
							o->n_paths, p);
	if (!w->model)
		return weights_complaint(ERR_CORRUPT, e);
	if (check_kind(w, e))
		return -1;
	mapped_take(&w->copied);
	mapped_forget(&w->copied);
	const struct llama_vocab *v = weights_vocab(w);
	for (int32_t i = 0; i < llama_vocab_n_tokens(v); i++) {
		if (llama_vocab_is_eog(v, i))
			tokens_push(&w->enders, i);
		w->longest =
			MAX(w->longest, strlen(llama_vocab_get_text(v, i)));
	}
	*out = steal(&w);
	return 0;
}

void weights_rest(const struct weights *w)
{
	mapped_forget(&w->copied);
}

void weights_free(struct weights *w)
{
	if (!w)
		return;
	llama_model_free(w->model);
	mapped_fini(&w->copied);
	tokens_fini(&w->enders);
	free(w);
}
