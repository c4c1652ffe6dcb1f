#include "llama/images.h"

#include "base/limits.h"
#include "llama/album.h"
#include "llama/image.h"
#include "llama/projector.h"
#include "llama/weights.h"

#include <llama.h>
#include <stdio.h>
#include <sys/random.h>

#define MARK_BYTES 48

struct item {
	json_t *url; /* owned; kept until it is read */
	bool is_placed;
	struct digest digest;
	/* What stands for it, from projector_read(). */
	struct tokens tokens;
	struct runs runs;
};

struct images {
	struct serve *serve;
	uint64_t secret[2]; /* of the marks */
	struct item *items; /* owned */
	size_t n;
};

/* ---- the parts ---- */

/* OpenAI has an object with a "url"; some clients send just that. */
static const json_t *url_of(const json_t *part)
{
	const json_t *j = json_object_get(part, "image_url");
	return json_is_object(j) ? json_object_get(j, "url") : j;
}

int images_check(const struct serve *s, const json_t *part, const char *where,
		 struct err *e)
{
	const json_t *url = url_of(part);
	if (s->blind)
		return err_field(e, "messages", "%s: %s", where, s->blind);
	if (!s->projector)
		return err_field(e, "messages",
				 "%s: this model takes text only, not a part "
				 "of type 'image_url'",
				 where);
	if (!json_is_string(url))
		return err_field(e, "messages",
				 "%s: a part of type 'image_url' must have "
				 "'image_url': {\"url\": \"data:...\"}",
				 where);
	if (picture_check(json_str(url), e)) {
		err_wrap(e, "%s", where);
		return err_at(e, "messages");
	}
	return 0;
}

static bool is_picture(const json_t *part)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	return type && strcmp(type, "image_url") == 0;
}

static size_t count(const json_t *messages)
{
	size_t i, k, n = 0;
	json_t *message, *part;
	json_array_foreach(messages, i, message)
	{
		json_array_foreach(json_object_get(message, "content"), k, part)
		{
			n += is_picture(part);
		}
	}
	return n;
}

static struct str mark_of(const struct images *im, size_t i,
			  char out[MARK_BYTES])
{
	int n = snprintf(out, MARK_BYTES, "<__image_%016llx%016llx_%02zu__>",
			 (unsigned long long)im->secret[0],
			 (unsigned long long)im->secret[1], i);
	return (struct str){ out, (size_t)n };
}

static void take_part(struct images *im, json_t *content, size_t at)
{
	char mark[MARK_BYTES];
	const json_t *part = json_array_get(content, at);
	mark_of(im, im->n, mark);
	im->items[im->n++].url = json_incref((json_t *)url_of(part));
	/* What llama.cpp's templates take for it. */
	json_array_set_new(
		content, at,
		json_pack("{s:s,s:s}", "type", "media_marker", "text", mark));
}

int images_take(struct serve *s, json_t *messages, struct images **out,
		struct err *e)
{
	size_t i, k, n = count(messages);
	json_t *message, *part;
	*out = NULL;
	if (!n)
		return 0;
	if (n > LIMIT_IMAGES)
		return err_field(e, "messages",
				 "a request may have %d images, not %zu",
				 LIMIT_IMAGES, n);
	if (album_open(s->album, n, e))
		return -1;
	struct images *im = xcalloc(1, sizeof *im);
	im->serve = s;
	im->items = xcalloc(n, sizeof *im->items);
	if (getrandom(im->secret, sizeof im->secret, 0) < 0)
		memset(im->secret, 0, sizeof im->secret);
	json_array_foreach(messages, i, message)
	{
		json_t *content = json_object_get(message, "content");
		json_array_foreach(content, k, part)
		{
			if (is_picture(part))
				take_part(im, content, k);
		}
	}
	*out = im;
	return 0;
}

/* ---- reading ---- */

static int read_item(struct projector *p, struct item *item, struct err *e)
{
	struct picture pic;
	if (picture_read(json_str(item->url), &pic, e))
		return -1;
	item->digest = pic.digest;
	int rc = projector_read(p, &pic, &item->tokens, &item->runs, e);
	picture_fini(&pic);
	return rc;
}

int images_read(struct images *im, const struct prepare_job *job, struct err *e)
{
	for (size_t i = 0; i < im->n; i++) {
		if (prepare_check(job, e))
			return -1;
		if (read_item(im->serve->projector, &im->items[i], e)) {
			err_wrap(e, "image %zu", i + 1);
			return err_at(e, "messages");
		}
		json_decref(steal(&im->items[i].url));
	}
	return 0;
}

void images_free(struct images *im)
{
	if (!im)
		return;
	for (size_t i = 0; i < im->n; i++) {
		json_decref(im->items[i].url);
		tokens_fini(&im->items[i].tokens);
		runs_fini(&im->items[i].runs);
	}
	album_close(im->serve->album, im->n);
	free(im->items);
	free(im);
}

/* ---- the prompt ---- */

static int add_item(const struct images *im, const struct item *item,
		    struct generate_prompt *out, struct err *e)
{
	const struct batch_facts *f = batch_facts(im->serve->batch);
	size_t start = out->tokens.n;
	for (size_t i = 0; i < item->tokens.n; i++)
		tokens_push(&out->tokens, item->tokens.p[i]);
	for (size_t i = 0; i < item->runs.n; i++) {
		const struct run *r = &item->runs.p[i];
		size_t n = r->image->n_tokens;
		int32_t name = album_name(im->serve->album, &item->digest, i);
		if (r->image->is_whole && n > (size_t)f->batch_tokens)
			return err_field(e, "messages",
					 "the image has %zu tokens that belong "
					 "together, and %d are computed at "
					 "once: --batch-size can be more",
					 n, f->batch_tokens);
		for (size_t k = 0; k < n; k++)
			out->tokens.p[start + r->at + k] = name;
		runs_push(&out->runs, start + r->at, image_hold(r->image));
	}
	return 0;
}

/* The first mark in the text; -1: there is none. */
static ptrdiff_t find_mark(const struct images *im, struct str text,
			   size_t *which, struct str *mark)
{
	static _Thread_local char buf[MARK_BYTES];
	struct str any = mark_of(im, 0, buf);
	/* All but the number at its end, "00__>". */
	struct str common = str_head(any, any.n - 5);
	const char *at = memmem(text.p, text.n, common.p, common.n);
	if (!at || (size_t)(at - text.p) + any.n > text.n)
		return -1;
	const char *digits = at + common.n;
	*which = (size_t)(digits[0] - '0') * 10 + (size_t)(digits[1] - '0');
	*mark = (struct str){ at, any.n };
	return at - text.p;
}

static int add_text(struct images *im, struct str text,
		    struct generate_prompt *out, struct err *e)
{
	return text.n ? serve_tokenize(im->serve, text, TOKENS_PARSE_SPECIAL,
				       "messages", &out->tokens, e)
		      : 0;
}

static int lost(struct err *e)
{
	return err_field(e, "messages",
			 "the model's chat template leaves images out, or "
			 "changes them: it is not made for them");
}

int images_prompt(struct images *im, struct str text,
		  struct generate_prompt *out, struct err *e)
{
	const struct llama_vocab *v = weights_vocab(im->serve->weights);
	struct str mark;
	size_t which, found = 0;
	ptrdiff_t at;
	if (llama_vocab_get_add_bos(v))
		tokens_push(&out->tokens, llama_vocab_bos(v));
	while ((at = find_mark(im, text, &which, &mark)) >= 0) {
		if (which >= im->n || im->items[which].is_placed)
			return lost(e);
		im->items[which].is_placed = true;
		if (add_text(im, str_head(text, (size_t)at), out, e) ||
		    add_item(im, &im->items[which], out, e))
			return -1;
		found++;
		text = str_tail(text, (size_t)at + mark.n);
	}
	if (found != im->n)
		return lost(e);
	if (add_text(im, text, out, e))
		return -1;
	if (llama_vocab_get_add_eos(v))
		tokens_push(&out->tokens, llama_vocab_eos(v));
	return 0;
}
