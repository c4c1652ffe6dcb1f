#include "hub/hub_model.h"
#include "model/artifact.h"
#include "model/facts.h"
#include "model/parts.h"

#define NO_TIME "1970-01-01T00:00:00Z"

/* A model of GGUF files has them side by side, one of safetensors is a folder
 * tree. */
static const char *name_of(const struct selection *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	return s->is_gguf && slash ? slash + 1 : path;
}

/* ---- made ---- */

static int add_layer(struct artifact *a, const struct selection *files,
		     size_t i, const struct digest *digest, struct err *e)
{
	const struct selection_file *f = &files->all[i];
	struct manifest_blob *layer = &a->m.layers[a->m.n_layers++];
	*layer = (struct manifest_blob){
		.media_type = manifest_layer_type(f->kind, false),
		.bytes = f->file->bytes,
		.digest = *digest,
	};
	return parts_annotate(layer, name_of(files, f->file->path), &a->m.arena,
			      e);
}

/* Blobs have no names that tell anything: what went wrong is told of the files
 * of the repository. */
static int read_facts(struct store *s, const struct selection *files,
		      const struct digest *digests, struct parts *p,
		      struct facts *f, struct err *e)
{
	p->all = xcalloc(files->n + 1, sizeof *p->all);
	for (size_t i = 0; i < files->n; i++)
		p->all[p->n++] = (struct part){
			.path = store_blob_path(s, &digests[i], &p->arena),
			.name = files->all[i].file->path,
			.kind = files->all[i].kind,
		};
	if (facts_read(p, f, e) == 0)
		return 0;
	if (e->code == ERR_INVALID)
		e->code = ERR_UNSUPPORTED;
	return err_wrap(e, "%s", files->all[0].file->path);
}

static int assemble(struct artifact *a, const struct selection *files,
		    const struct digest *digests, struct facts *f,
		    const char *created, struct err *e)
{
	a->m.layers = arena_alloc(&a->m.arena, files->n * sizeof *a->m.layers);
	for (size_t i = 0; i < files->n; i++)
		if (add_layer(a, files, i, &digests[i], e))
			return -1;
	f->config.created = created[0] ? created : NO_TIME;
	f->config.diff_ids = artifact_diff_ids(a);
	f->config.n_diff_ids = files->n;
	if (model_config_write(&f->config, &a->config))
		return err_set(e, ERR_UNSUPPORTED,
			       "the metadata of the model is larger than %u "
			       "bytes",
			       LIMIT_CONFIG_BLOB_BYTES);
	return artifact_seal(
		a, files->is_gguf ? MANIFEST_CONFIG_V1 : MANIFEST_CONFIG_V2, e);
}

int hub_model_make(struct store *s, const struct selection *files,
		   const struct digest *digests, const char *created,
		   struct pull_model *out, struct err *e)
{
	struct parts p;
	struct facts f = { 0 };
	struct artifact a;
	parts_init(&p);
	artifact_init(&a);
	int failed = read_facts(s, files, digests, &p, &f, e) ||
		     assemble(&a, files, digests, &f, created, e);
	if (!failed && (buf_put(&out->config, a.config.p, a.config.n) ||
			buf_put(&out->manifest, a.text.p, a.text.n)))
		abort(); /* the ceilings are the same */
	if (!failed)
		out->config_digest = a.m.config.digest;
	artifact_fini(&a);
	facts_fini(&f);
	parts_fini(&p);
	return failed ? -1 : 0;
}

/* ---- the same ---- */

static bool is_same_file(struct store *s, const struct manifest_blob *layer,
			 const struct selection_file *f)
{
	auto_buf struct buf text;
	struct err unused;
	buf_init(&text, LIMIT_HUB_SMALL_BYTES);
	if (manifest_layer_kind(layer) != f->kind ||
	    layer->bytes != f->file->bytes ||
	    !store_has_blob(s, &layer->digest, layer->bytes))
		return false;
	if (f->file->sha256.hex[0])
		return digest_eq(&layer->digest, &f->file->sha256);
	if (layer->bytes > LIMIT_HUB_SMALL_BYTES ||
	    store_read_blob(s, &layer->digest, &text, &unused))
		return false;
	struct githash h = githash_of(buf_str(&text));
	return strcmp(h.hex, f->file->git.hex) == 0;
}

bool hub_model_is_same(struct store *s, const struct digest *id,
		       const struct selection *files)
{
	auto_(manifest) m = NULL;
	auto_buf struct buf text;
	struct err unused;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	if (store_read_manifest(s, id, &text, &unused) ||
	    manifest_parse(buf_str(&text), &m, &unused) ||
	    m->n_layers != files->n)
		return false;
	for (size_t i = 0; i < files->n; i++) {
		const char *path = manifest_path(&m->layers[i]);
		if (!path ||
		    strcmp(path, name_of(files, files->all[i].file->path)) ||
		    !is_same_file(s, &m->layers[i], &files->all[i]))
			return false;
	}
	return true;
}
