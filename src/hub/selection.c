#include "hub/selection.h"
#include "hub/quant.h"

#include <stdio.h>

#define DEFAULT_QUANT "Q4_K_M"

/* One file of weights, or one shard. */
struct piece {
	struct quant_name name;
	const struct listing_file *file;
};

struct pieces {
	struct piece *all; /* sorted: the shards of one model in a row */
	size_t n;
};

/* ---- names ---- */

static bool contains(struct str name, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = 0; i + n <= name.n; i++)
		if (str_eq_nocase(str_head(str_tail(name, i), n), word))
			return true;
	return false;
}

static bool is_projector(const struct listing_file *f)
{
	return contains(quant_base(str_of(f->path)), "mmproj");
}

/* What stands beside models under the same ending and is none: the statistics
 * that a quantization was made with, and drafts for another one. */
static bool is_sidecar(const struct listing_file *f)
{
	static const char *const drafts[] = { "mtp-", "eagle3-", "dflash-",
					      "dspark-" };
	struct str name = quant_base(str_of(f->path));
	for (size_t i = 0; i < ARRAY_LEN(drafts); i++)
		if (str_starts(name, drafts[i]))
			return true;
	return contains(name, "imatrix");
}

static int by_model(const void *a, const void *b)
{
	const struct quant_name *x = &((const struct piece *)a)->name;
	const struct quant_name *y = &((const struct piece *)b)->name;
	int order = memcmp(x->stem.p, y->stem.p, MIN(x->stem.n, y->stem.n));
	if (!order && x->stem.n != y->stem.n)
		order = x->stem.n < y->stem.n ? -1 : 1;
	if (!order && x->n_shards != y->n_shards)
		order = x->n_shards < y->n_shards ? -1 : 1;
	if (!order && x->shard != y->shard)
		order = x->shard < y->shard ? -1 : 1;
	return order;
}

static struct pieces find_pieces(const struct listing *l)
{
	struct pieces p = { xcalloc(l->n + 1, sizeof *p.all), 0 };
	for (size_t i = 0; i < l->n; i++) {
		struct piece *piece = &p.all[p.n];
		piece->file = &l->all[i];
		p.n += quant_parse(str_of(l->all[i].path), &piece->name) &&
		       !is_projector(&l->all[i]) && !is_sidecar(&l->all[i]);
	}
	if (p.n)
		qsort(p.all, p.n, sizeof *p.all, by_model);
	return p;
}

/* Where the next model begins. */
static size_t next_model(const struct pieces *p, size_t i)
{
	const struct quant_name *a = &p->all[i].name;
	for (i++; i < p->n; i++) {
		const struct quant_name *b = &p->all[i].name;
		if (a->n_shards == 1 || b->n_shards != a->n_shards ||
		    b->stem.n != a->stem.n ||
		    memcmp(a->stem.p, b->stem.p, a->stem.n) != 0)
			break;
	}
	return i;
}

/* ---- which of them ---- */

/* The best fit; of several the one with the shortest path, then by name. */
static const struct piece *find_tag(const struct pieces *p, const char *tag)
{
	const struct piece *best = NULL;
	enum quant_fit fit = QUANT_NOT;
	for (size_t i = 0; i < p->n; i = next_model(p, i)) {
		const struct piece *x = &p->all[i];
		enum quant_fit f = quant_match(&x->name, tag);
		if (f > fit ||
		    (f && f == fit && x->name.stem.n < best->name.stem.n)) {
			best = x;
			fit = f;
		}
	}
	return best;
}

static struct str shown(const struct quant_name *q)
{
	return q->label.n ? q->label : quant_base(q->stem);
}

/* "Q4_K_M, Q8_0, ..." */
static void list_names(const struct pieces *p, char *out, size_t size)
{
	size_t used = 0;
	struct str last = STR("");
	out[0] = '\0';
	for (size_t i = 0; i < p->n; i = next_model(p, i)) {
		struct str s = shown(&p->all[i].name);
		if (s.n == last.n && memcmp(s.p, last.p, s.n) == 0)
			continue;
		last = s;
		if (used + s.n + 8 > size) {
			snprintf(out + used, size - used, ", ...");
			return;
		}
		used += (size_t)snprintf(out + used, size - used, "%s%.*s",
					 used ? ", " : "", STR_ARG(s));
	}
}

static bool is_default(const char *tag)
{
	return !tag[0] || !strcmp(tag, "latest") || !strcmp(tag, "main");
}

static int find_model(const struct pieces *p, const char *tag,
		      const struct piece **out, struct err *e)
{
	char names[160];
	if (is_default(tag)) {
		*out = find_tag(p, DEFAULT_QUANT);
		if (!*out)
			*out = &p->all[0];
		return 0;
	}
	*out = find_tag(p, tag);
	if (*out)
		return 0;
	list_names(p, names, sizeof names);
	return err_set(e, ERR_NOT_FOUND, "there is no %.40s; there is %s", tag,
		       names);
}

/* ---- what belongs to it ---- */

static void add(struct selection *s, const struct listing_file *f,
		enum manifest_kind kind)
{
	s->all[s->n++] = (struct selection_file){ f, kind };
	s->bytes += f->bytes;
}

static int add_shards(struct selection *s, const struct pieces *p,
		      const struct piece *first, struct err *e)
{
	size_t begin = (size_t)(first - p->all), end = next_model(p, begin);
	unsigned want = 1;
	for (size_t i = begin; i < end; i++) {
		if (p->all[i].name.shard != want)
			break;
		add(s, p->all[i].file, MANIFEST_GGUF);
		want++;
	}
	if (want == first->name.n_shards + 1)
		return 0;
	struct str name = quant_base(first->name.stem);
	return err_set(e, ERR_NOT_FOUND,
		       "of %.*s, file %u of %u is missing in the repository",
		       STR_ARG(str_head(name, 80)), want, first->name.n_shards);
}

/* Is the file in a folder on the way to `path`? */
static bool is_on_way(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	return !slash || strncmp(file, path, (size_t)(slash - file) + 1) == 0;
}

/* F16 is what all engines take; then by name. */
static int rank_projector(const struct listing_file *f, const char *weights)
{
	struct quant_name q;
	int rank = is_on_way(f->path, weights) ? 4 : 0;
	if (quant_parse(str_of(f->path), &q) && q.label.n)
		rank += str_eq_nocase(q.label, "F16")	 ? 2
			: str_eq_nocase(q.label, "BF16") ? 1
							 : 0;
	return rank;
}

static void add_projector(struct selection *s, const struct listing *l,
			  const char *weights)
{
	const struct listing_file *best = NULL;
	struct quant_name unused;
	int rank = -1;
	for (size_t i = 0; i < l->n; i++) {
		const struct listing_file *f = &l->all[i];
		if (!quant_parse(str_of(f->path), &unused) || !is_projector(f))
			continue;
		int r = rank_projector(f, weights);
		if (r > rank) {
			best = f;
			rank = r;
		}
	}
	if (best)
		add(s, best, MANIFEST_MMPROJ);
}

/* The nearest; JSON that holds a template is none. */
static void add_template(struct selection *s, const struct listing *l,
			 const char *weights)
{
	const struct listing_file *best = NULL;
	for (size_t i = 0; i < l->n; i++) {
		const struct listing_file *f = &l->all[i];
		if (!str_ends(str_of(f->path), ".jinja") ||
		    !is_on_way(f->path, weights))
			continue;
		bool is_named =
			contains(quant_base(str_of(f->path)), "chat_template");
		if (!best || (is_named && strlen(f->path) > strlen(best->path)))
			best = f;
	}
	if (best)
		add(s, best, MANIFEST_TEMPLATE);
}

static int select_gguf(const struct listing *l, const struct pieces *p,
		       const char *tag, struct selection *s, struct err *e)
{
	const struct piece *model;
	if (find_model(p, tag, &model, e))
		return -1;
	s->is_gguf = true;
	if (next_model(p, 0) < p->n) {
		struct str name = shown(&model->name);
		snprintf(s->what, sizeof s->what, "%.*s%s%s",
			 STR_ARG(str_head(name, 80)),
			 model->name.label.n ? " quantization" : "",
			 is_default(tag) ? " (default)" : "");
	}
	if (add_shards(s, p, model, e))
		return -1;
	add_template(s, l, model->file->path);
	add_projector(s, l, model->file->path);
	return 0;
}

static int select_safetensors(const struct listing *l, const char *tag,
			      struct selection *s, struct err *e)
{
	bool has_weights = false;
	struct quant_name unused;
	for (size_t i = 0; i < l->n; i++) {
		const struct listing_file *f = &l->all[i];
		enum manifest_kind kind = manifest_name_kind(f->path);
		/* Projectors and other GGUF files without a model. */
		if (quant_parse(str_of(f->path), &unused))
			continue;
		has_weights |= kind == MANIFEST_SAFETENSORS;
		if (kind == MANIFEST_SAFETENSORS || kind == MANIFEST_TEMPLATE ||
		    kind == MANIFEST_FILE)
			add(s, f, kind);
	}
	if (!has_weights)
		return err_set(e, ERR_UNSUPPORTED,
			       "it has no model files (GGUF or safetensors)");
	if (!is_default(tag))
		return err_set(e, ERR_NOT_FOUND,
			       "there is no %.40s: it has safetensors files, "
			       "not GGUF; look for a GGUF repository of this "
			       "model, or leave the tag out",
			       tag);
	return 0;
}

int selection_make(const struct listing *l, const char *tag,
		   struct selection *out, struct err *e)
{
	*out = (struct selection){ 0 };
	out->all = xcalloc(l->n + 1, sizeof *out->all);
	struct pieces p = find_pieces(l);
	int failed = p.n ? select_gguf(l, &p, tag, out, e)
			 : select_safetensors(l, tag, out, e);
	free(p.all);
	if (!failed && out->n > LIMIT_LAYERS)
		return err_set(e, ERR_UNSUPPORTED,
			       "the model would have %zu files, more than the "
			       "%d allowed",
			       out->n, LIMIT_LAYERS);
	return failed;
}

void selection_fini(struct selection *s)
{
	free(s->all);
	s->all = NULL;
	s->n = 0;
}
