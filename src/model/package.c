#include "model/package.h"
#include "base/limits.h"
#include "model/archive.h"
#include "model/facts.h"

#include <time.h>

struct package {
	struct parts parts;
	struct artifact artifact;
	const char **paths; /* owned; of the layers' files */
	struct archive *tar;
};

/* ---- of files ---- */

static int add_weights(struct parts *p, const struct package_options *o,
		       struct err *e)
{
	if (o->gguf)
		return parts_add_gguf(p, o->gguf, e);
	if (o->folder)
		return parts_add_folder(p, o->folder, e);
	return o->dduf ? parts_add(p, MANIFEST_DDUF, o->dduf, e) : 0;
}

static int add_others(struct parts *p, const struct package_options *o,
		      struct err *e)
{
	for (size_t i = 0; i < o->n_licences; i++) {
		if (parts_add(p, MANIFEST_LICENCE, o->licences[i], e))
			return -1;
	}
	if (o->chat_template &&
	    parts_add(p, MANIFEST_TEMPLATE, o->chat_template, e))
		return -1;
	if (o->mmproj && parts_add(p, MANIFEST_MMPROJ, o->mmproj, e))
		return -1;
	return 0;
}

static int write_config(struct package *p, const struct package_options *o,
			struct model_config *c, struct err *e)
{
	char created[40];
	time_t t = (time_t)o->created_s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) ||
	    !strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return err_set(e, ERR_INVALID, "no such time");
	c->created = created;
	c->is_cncf = o->form == VARIANT_CNCF;
	if (o->context_size)
		c->context_size = o->context_size;
	c->diff_ids = artifact_diff_ids(&p->artifact);
	c->n_diff_ids = p->artifact.m.n_layers;
	if (model_config_write(c, &p->artifact.config))
		return err_set(e, ERR_TOO_LARGE,
			       "the metadata of the model is larger than %u "
			       "bytes",
			       LIMIT_CONFIG_BLOB_BYTES);
	return 0;
}

static int make_layers(struct package *p, bool is_cncf, struct err *e)
{
	struct manifest *m = &p->artifact.m;
	m->layers = arena_alloc(&m->arena, p->parts.n * sizeof *m->layers);
	for (size_t i = 0; i < p->parts.n; i++)
		if (parts_layer(&p->parts.all[i], is_cncf, &m->arena,
				&m->layers[m->n_layers++], e))
			return -1;
	return 0;
}

/* Headers first: a wrong file is told before a long one is hashed. */
static int make_of_files(struct package *p, const struct package_options *o,
			 struct err *e)
{
	struct facts facts;
	bool is_cncf = o->form == VARIANT_CNCF;
	if (is_cncf && o->context_size)
		return err_set(e, ERR_UNSUPPORTED,
			       "CNCF's form has no place for a context size");
	int failed = facts_read(&p->parts, &facts, e);
	if (!failed)
		failed = make_layers(p, is_cncf, e);
	if (!failed)
		failed = write_config(p, o, &facts.config, e);
	facts_fini(&facts);
	if (failed)
		return -1;
	return artifact_seal(&p->artifact,
			     is_cncf	 ? MANIFEST_CONFIG_CNCF
			     : o->folder ? MANIFEST_CONFIG_V2
					 : MANIFEST_CONFIG_V1,
			     e);
}

/* ---- the whole ---- */

static int make(struct package *p, const struct package_options *o,
		struct err *e)
{
	const struct variant_change change = { o->form, o->context_size,
					       &p->parts };
	if (add_weights(&p->parts, o, e) || add_others(&p->parts, o, e))
		return -1;
	if (!o->manifest.n)
		return make_of_files(p, o, e);
	artifact_fini(&p->artifact);
	return variant_make(o->manifest, o->config, &change, &p->artifact, e);
}

int package_new(const struct package_options *o, struct package **out,
		struct err *e)
{
	auto_(package) p = xcalloc(1, sizeof *p);
	parts_init(&p->parts);
	artifact_init(&p->artifact);
	if (make(p, o, e))
		return -1;
	/* The last layers are those of our files. */
	size_t n = p->artifact.m.n_layers;
	p->paths = xcalloc(n + 1, sizeof *p->paths);
	for (size_t i = 0; i < p->parts.n; i++)
		p->paths[n - p->parts.n + i] = p->parts.all[i].path;
	p->tar = archive_new(ARCHIVE_DOCKER,
			     &(struct archive_contents){
				     .m = &p->artifact.m,
				     .manifest = buf_str(&p->artifact.text),
				     .config = buf_str(&p->artifact.config),
				     .paths = p->paths,
			     });
	*out = steal(&p);
	return 0;
}

void package_free(struct package *p)
{
	if (!p)
		return;
	parts_fini(&p->parts);
	artifact_fini(&p->artifact);
	free(p->paths);
	archive_free(p->tar);
	free(p);
}

const struct digest *package_id(const struct package *p)
{
	return &p->artifact.id;
}

uint64_t package_tar_bytes(const struct package *p)
{
	return archive_bytes(p->tar);
}

int package_tar_read(struct package *p, void *buf, size_t cap, size_t *n,
		     struct err *e)
{
	return archive_read(p->tar, buf, cap, n, e);
}
