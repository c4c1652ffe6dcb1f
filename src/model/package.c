#include "model/package.h"
#include "base/limits.h"
#include "model/archive.h"
#include "model/gguf.h"
#include "oci/gojson.h"
#include "oci/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TYPE(kind) "application/vnd.docker.ai." kind
/* Instead of the file's own: see the header. */
#define FILE_TIME "1970-01-01T00:00:00Z"

struct package {
	struct arena arena; /* owns all texts */
	struct manifest manifest;
	const char **paths; /* of the layers' files */
	struct buf config;
	struct buf text; /* of the manifest */
	struct digest id;
	struct archive *tar;
};

/* ---- the layers ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int hash_file(int fd, const char *path, struct manifest_blob *out,
		     struct err *e)
{
	enum { CHUNK_BYTES = 1 << 20 };
	auto_free char *chunk = xcalloc(1, CHUNK_BYTES);
	auto_(digest_ctx) hash = digest_ctx_new();
	ssize_t n;
	while ((n = read(fd, chunk, CHUNK_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read %s", path);
		digest_ctx_put(hash, chunk, (size_t)n);
		out->bytes += (uint64_t)n;
	}
	out->digest = digest_ctx_end(hash);
	return 0;
}

static int annotate(struct package *p, struct manifest_blob *layer,
		    const char *name, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	if (buf_puts(&text, "{\"name\":") || gojson_put(&text, name) ||
	    buf_printf(&text,
		       ",\"mode\":420,\"uid\":0,\"gid\":0,\"size\":%" PRIu64
		       ",\"mtime\":\"" FILE_TIME "\",\"typeflag\":0}",
		       layer->bytes))
		return err_set(e, ERR_TOO_LARGE, "a file name is too long");
	struct manifest_annotation rows[] = {
		{ "org.cncf.model.file.mediatype.untested", "false" },
		{ "org.cncf.model.file.metadata+json",
		  arena_str(&p->arena, buf_str(&text)) },
		{ "org.cncf.model.filepath",
		  arena_str(&p->arena, str_of(name)) },
	};
	layer->n_annotations = ARRAY_LEN(rows);
	layer->annotations = arena_alloc(&p->arena, sizeof rows);
	memcpy(layer->annotations, rows, sizeof rows);
	return 0;
}

static int open_file(const char *path, int *out, struct err *e)
{
	struct stat st;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file",
			       path);
	*out = steal_fd(&fd);
	return 0;
}

static int add_layer(struct package *p, const char *path, const char *type,
		     struct err *e)
{
	struct manifest *m = &p->manifest;
	struct manifest_blob *layer = &m->layers[m->n_layers];
	auto_close int fd = -1;
	if (open_file(path, &fd, e) || hash_file(fd, path, layer, e) ||
	    annotate(p, layer, base_name(path), e))
		return -1;
	layer->media_type = type;
	p->paths[m->n_layers++] = arena_str(&p->arena, str_of(path));
	return 0;
}

/* ---- the weights ---- */

struct shards {
	struct str stem; /* up to the number */
	unsigned n;	 /* 1: not split */
};

/* "dir/model-00002-of-00007.gguf" */
static struct shards find_shards(const char *path)
{
	static const char form[] = "-00000-of-00000.gguf";
	struct str s = str_of(path);
	struct shards whole = { s, 1 };
	uint64_t n;
	if (s.n < sizeof form)
		return whole;
	struct str tail = str_tail(s, s.n - (sizeof form - 1));
	for (size_t i = 0; i < tail.n; i++) {
		bool is_digit = tail.p[i] >= '0' && tail.p[i] <= '9';
		if (form[i] == '0' ? !is_digit : tail.p[i] != form[i])
			return whole;
	}
	if (!str_to_u64(str_head(str_tail(tail, 10), 5), &n) || n == 0)
		return whole;
	return (struct shards){ str_head(s, s.n - tail.n), (unsigned)n };
}

/* Adds a shard: the first tells what the model is, all of them its size. */
static int add_weights(struct package *p, const char *path, struct gguf_file **first,
		       struct err *e)
{
	auto_(gguf_file) g = NULL;
	auto_close int fd = -1;
	if (open_file(path, &fd, e))
		return -1;
	if (gguf_read(fd, &g, e))
		return err_wrap(e, "%s", path);
	if (*first) {
		(*first)->elements += g->elements;
		(*first)->tensor_bytes += g->tensor_bytes;
	} else {
		*first = steal(&g);
	}
	return add_layer(p, path, TYPE("gguf.v3"), e);
}

static int add_all_weights(struct package *p, const char *path,
			   struct shards shards, struct gguf_file **out,
			   struct err *e)
{
	auto_(gguf_file) g = NULL;
	if (shards.n == 1 && add_weights(p, path, &g, e))
		return -1;
	for (unsigned i = 1; shards.n > 1 && i <= shards.n; i++) {
		auto_free char *shard =
			xasprintf("%.*s-%05u-of-%05u.gguf",
				  STR_ARG(shards.stem), i, shards.n);
		if (add_weights(p, shard, &g, e))
			return err_wrap(e, "shard %u of %u", i, shards.n);
	}
	*out = steal(&g);
	return 0;
}

static int add_others(struct package *p, const struct package_options *o,
		      struct err *e)
{
	for (size_t i = 0; i < o->n_licences; i++) {
		if (add_layer(p, o->licences[i], TYPE("license"), e))
			return -1;
	}
	if (o->chat_template &&
	    add_layer(p, o->chat_template, TYPE("chat.template.jinja"), e))
		return -1;
	if (o->mmproj && add_layer(p, o->mmproj, TYPE("mmproj"), e))
		return -1;
	return 0;
}

/* ---- config and manifest ---- */

static int write_config(struct package *p, const struct package_options *o,
			const struct gguf_file *g, struct err *e)
{
	char parameters[GGUF_TEXT_BYTES], size[GGUF_TEXT_BYTES], created[40];
	const struct manifest *m = &p->manifest;
	time_t t = (time_t)o->created_s;
	struct tm tm;
	gguf_parameters_text(g->elements, parameters);
	gguf_size_text(g->tensor_bytes, size);
	if (!gmtime_r(&t, &tm) ||
	    !strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return err_set(e, ERR_INVALID, "no such time");
	struct model_config c = {
		.created = created,
		.format = "gguf",
		.quantization = g->quantization,
		.parameters = parameters,
		.architecture = g->architecture,
		.size = size,
		.context_size =
			o->context_size ? o->context_size : g->context_size,
		.gguf = g->pairs,
		.n_gguf = g->n_pairs,
		.n_diff_ids = m->n_layers,
	};
	c.diff_ids = arena_alloc(&p->arena, m->n_layers * sizeof *c.diff_ids);
	for (size_t i = 0; i < m->n_layers; i++)
		c.diff_ids[i] = m->layers[i].digest;
	buf_init(&p->config, LIMIT_CONFIG_BLOB_BYTES);
	if (model_config_write(&c, &p->config))
		return err_set(e, ERR_TOO_LARGE,
			       "the metadata of the GGUF file is larger than "
			       "%u bytes",
			       LIMIT_CONFIG_BLOB_BYTES);
	return 0;
}

static int write_manifest(struct package *p, struct err *e)
{
	struct manifest *m = &p->manifest;
	m->config = (struct manifest_blob){
		.media_type = MANIFEST_CONFIG_V1,
		.bytes = p->config.n,
		.digest = digest_of(buf_str(&p->config)),
	};
	buf_init(&p->text, LIMIT_MANIFEST_BYTES);
	if (manifest_write(m, &p->text))
		return err_set(e, ERR_TOO_LARGE, "the manifest is too large");
	p->id = digest_of(buf_str(&p->text));
	return 0;
}

/* ---- the whole ---- */

static void make_room(struct package *p, size_t n_layers)
{
	p->manifest.layers =
		arena_alloc(&p->arena, n_layers * sizeof *p->manifest.layers);
	p->paths = arena_alloc(&p->arena, n_layers * sizeof *p->paths);
}

int package_new(const struct package_options *o, struct package **out,
		struct err *e)
{
	auto_(gguf_file) g = NULL;
	auto_(package) p = xcalloc(1, sizeof *p);
	struct shards shards = find_shards(o->gguf);
	arena_init(&p->arena);
	if (shards.n + o->n_licences + 2 > LIMIT_LAYERS)
		return err_set(e, ERR_INVALID,
			       "a model can have at most %d files",
			       LIMIT_LAYERS);
	make_room(p, shards.n + o->n_licences + 2);
	if (add_all_weights(p, o->gguf, shards, &g, e) || add_others(p, o, e) ||
	    write_config(p, o, g, e) || write_manifest(p, e))
		return -1;
	p->tar = archive_new(ARCHIVE_DOCKER,
			     &(struct archive_contents){
				     .m = &p->manifest,
				     .manifest = buf_str(&p->text),
				     .config = buf_str(&p->config),
				     .paths = p->paths,
			     });
	*out = steal(&p);
	return 0;
}

void package_free(struct package *p)
{
	if (!p)
		return;
	arena_fini(&p->arena);
	buf_fini(&p->config);
	buf_fini(&p->text);
	archive_free(p->tar);
	free(p);
}

const struct digest *package_id(const struct package *p)
{
	return &p->id;
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
