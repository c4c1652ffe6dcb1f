#include "llama/projector_priv.h"

#include "base/log.h"
#include "llama/runs.h"
#include "llama/weights.h"
#include "model/gguf.h"

#include <mtmd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- a picture as tokens and images ---- */

static void add_chunk(struct projector *p, const mtmd_input_chunk *chunk,
		      struct tokens *tokens, struct runs *runs)
{
	size_t n;
	if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_TEXT) {
		const llama_token *ids =
			mtmd_input_chunk_get_tokens_text(chunk, &n);
		for (size_t i = 0; i < n; i++)
			tokens_push(tokens, ids[i]);
		return;
	}
	struct image *image = image_new(p, mtmd_input_chunk_copy(chunk));
	image->n_tokens = mtmd_input_chunk_get_n_tokens(chunk);
	image->n_pos = (size_t)mtmd_input_chunk_get_n_pos(chunk);
	image->is_whole = mtmd_decode_use_non_causal(p->mtmd, chunk);
	runs_push(runs, tokens->n, image);
	for (size_t i = 0; i < image->n_tokens; i++)
		tokens_push(tokens, -1);
}

static int read_picture(struct projector *p, const struct picture *pic,
			struct tokens *tokens, struct runs *runs, struct err *e)
{
	mtmd_bitmap *bitmap = mtmd_bitmap_init(
		pic->pixels.width, pic->pixels.height, pic->pixels.rgb);
	mtmd_input_chunks *chunks = mtmd_input_chunks_init();
	const struct mtmd_input_part part = { .bitmap = bitmap };
	const struct mtmd_input_part *parts = &part;
	int rc = mtmd_tokenize_from_parts(p->mtmd, chunks, &parts, 1, false);
	for (size_t i = 0; !rc && i < mtmd_input_chunks_size(chunks); i++)
		add_chunk(p, mtmd_input_chunks_get(chunks, i), tokens, runs);
	mtmd_input_chunks_free(chunks);
	mtmd_bitmap_free(bitmap);
	if (!rc)
		return 0;
	weights_complaint(ERR_INVALID, e);
	e->code = ERR_INVALID;
	return err_wrap(e, "the model cannot take it");
}

/* What the encoder computes before it may be stopped, multiplications and
 * sums: a tenth of a second or so. Going on costs a millisecond where the
 * machine is busy. */
#define WORK 4e9

static double work_of(const struct ggml_tensor *t)
{
	const struct ggml_tensor *a = t->src[0], *b = t->src[1];
	if (t->op == GGML_OP_MUL_MAT)
		return 2.0 * (double)a->ne[0] * (double)ggml_nelements(t);
	if (t->op == GGML_OP_FLASH_ATTN_EXT)
		return 4.0 * (double)ggml_nelements(a) * (double)b->ne[1];
	return (double)ggml_nelements(t);
}

static bool on_step(struct ggml_tensor *t, bool is_asking, void *ctx)
{
	struct projector *p = ctx;
	if (!is_asking)
		return projector_goes_on(p);
	p->work += work_of(t);
	if (p->work < WORK)
		return false;
	p->work = 0;
	return true;
}

static const float *encode(struct projector *p, void *chunk)
{
	if (mtmd_encode_chunk(p->mtmd, chunk))
		return NULL;
	return mtmd_get_output_embd(p->mtmd);
}

static void place(const void *chunk, size_t pos, size_t k, int32_t out[4])
{
	struct mtmd_decoder_pos at = mtmd_image_tokens_get_decoder_pos(
		mtmd_input_chunk_get_tokens_image(chunk), (llama_pos)pos, k);
	out[0] = (int32_t)at.t;
	out[1] = (int32_t)at.y;
	out[2] = (int32_t)at.x;
	out[3] = (int32_t)at.z;
}

static void free_chunk(void *chunk)
{
	mtmd_input_chunk_free(chunk);
}

static void close_it(struct projector *p)
{
	mtmd_free(p->mtmd);
}

static const struct projector_fns fns = {
	.read = read_picture,
	.encode = encode,
	.place = place,
	.free_chunk = free_chunk,
	.close = close_it,
};

/* ---- the file ---- */

/* These pad by what comes before the picture, or count pictures; each picture
 * is read by itself here. */
static bool is_known_unfit(const struct gguf_file *g)
{
	static const char *const types[] = { "deepseek4v", "hunyuanvl" };
	for (size_t i = 0; i < g->n_pairs; i++) {
		if (!strstr(g->pairs[i].key, "projector_type"))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(types); k++)
			if (strcmp(g->pairs[i].value, types[k]) == 0)
				return true;
	}
	return false;
}

static int check_file(const char *path, struct err *e)
{
	auto_(gguf_file) g = NULL;
	if (weights_read_head(path, &g, e))
		return -1;
	if (strcmp(g->architecture, "clip") != 0)
		return err_set(e, ERR_CORRUPT,
			       "%s is no projector (mmproj) but a model of "
			       "architecture %s",
			       path, g->architecture);
	if (is_known_unfit(g))
		return err_set(e, ERR_UNSUPPORTED,
			       "%s: this kind of projector is not supported",
			       path);
	return 0;
}

int projector_mtmd_open(struct projector *p, const struct projector_options *o,
			struct err *e)
{
	struct mtmd_context_params params = mtmd_context_params_default();
	ggml_log_callback log;
	void *ctx;
	if (check_file(o->path, e))
		return -1;
	llama_log_get(&log, &ctx);
	mtmd_log_set(log, ctx);
	params.use_gpu = o->has_gpu;
	params.print_timings = false;
	params.n_threads = o->threads;
	params.cb_eval = on_step;
	params.cb_eval_user_data = p;
	p->mtmd =
		mtmd_init_from_file(o->path, weights_model(o->weights), params);
	if (!p->mtmd)
		return weights_complaint(ERR_CORRUPT, e);
	p->fns = &fns;
	p->width = (size_t)llama_model_n_embd_inp(weights_model(o->weights));
	if (!mtmd_support_vision(p->mtmd))
		return err_set(e, ERR_UNSUPPORTED, "%s does not take pictures",
			       o->path);
	log_info("projector loaded path=%s", o->path);
	return 0;
}
