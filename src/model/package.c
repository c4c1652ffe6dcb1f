#include "model/package.h"
#include "base/limits.h"
#include "model/gguf.h"
#include "model/tar.h"
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

/* A run of bytes of the tar: from memory, or from a file. */
struct piece {
	const char *p;	  /* NULL: from the file */
	const char *path; /* of the file */
	uint64_t n;
};

struct package {
	struct arena arena; /* owns all texts */
	struct manifest manifest;
	const char **paths; /* of the layers' files */
	struct buf config;
	struct buf text; /* of the manifest */
	struct digest id;
	struct piece *pieces;
	size_t n_pieces;
	size_t piece;	    /* the one to be read */
	uint64_t at;	    /* in it */
	int fd;		    /* owned; of its file, or -1 */
	uint64_t tar_bytes; /* in all */
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
static int add_weights(struct package *p, const char *path, struct gguf **first,
		       struct err *e)
{
	auto_(gguf) g = NULL;
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
			   struct shards shards, struct gguf **out,
			   struct err *e)
{
	auto_(gguf) g = NULL;
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
			const struct gguf *g, struct err *e)
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

/* ---- the tar ---- */

static void put_piece(struct package *p, struct piece piece)
{
	p->pieces[p->n_pieces++] = piece;
	p->tar_bytes += piece.n;
}

static void put_header(struct package *p, const char *name, unsigned mode,
		       uint64_t bytes)
{
	char *block = arena_alloc(&p->arena, TAR_BLOCK_BYTES);
	tar_header(block, name, mode, bytes);
	put_piece(p, (struct piece){ .p = block, .n = TAR_BLOCK_BYTES });
}

static void put_file(struct package *p, const char *name, struct piece contents)
{
	static const char zeros[TAR_BLOCK_BYTES];
	size_t padding = (size_t)(-contents.n % TAR_BLOCK_BYTES);
	put_header(p, name, 0666, contents.n);
	put_piece(p, contents);
	put_piece(p, (struct piece){ .p = zeros, .n = padding });
}

static void put_blob(struct package *p, const struct manifest_blob *b,
		     struct piece contents)
{
	char name[100];
	snprintf(name, sizeof name, "blobs/sha256/%s", b->digest.hex);
	put_file(p, name, contents);
}

static void plan_tar(struct package *p)
{
	static const char end[2 * TAR_BLOCK_BYTES];
	const struct manifest *m = &p->manifest;
	/* Three pieces a file; two folders and the end. */
	p->pieces = arena_alloc(&p->arena,
				(3 * m->n_layers + 9) * sizeof *p->pieces);
	put_header(p, "blobs/", 0755, 0);
	put_header(p, "blobs/sha256/", 0755, 0);
	for (size_t i = 0; i < m->n_layers; i++)
		put_blob(p, &m->layers[i],
			 (struct piece){ .path = p->paths[i],
					 .n = m->layers[i].bytes });
	put_blob(p, &m->config,
		 (struct piece){ .p = p->config.p, .n = p->config.n });
	put_file(p, "manifest.json",
		 (struct piece){ .p = p->text.p, .n = p->text.n });
	put_piece(p, (struct piece){ .p = end, .n = sizeof end });
}

static int read_piece(struct package *p, char *out, size_t cap, size_t *n,
		      struct err *e)
{
	const struct piece *piece = &p->pieces[p->piece];
	size_t want = (size_t)MIN(cap, piece->n - p->at);
	ssize_t got;
	if (piece->p) {
		memcpy(out, piece->p + p->at, want);
		*n = want;
		return 0;
	}
	if (p->fd < 0 && open_file(piece->path, &p->fd, e))
		return -1;
	do
		got = read(p->fd, out, want);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(e, "read %s", piece->path);
	if (got == 0 && want)
		return err_set(e, ERR_CONFLICT,
			       "%s became shorter while it was packaged",
			       piece->path);
	*n = (size_t)got;
	return 0;
}

int package_tar_read(struct package *p, void *buf, size_t cap, size_t *n,
		     struct err *e)
{
	char *out = buf;
	*n = 0;
	while (*n < cap && p->piece < p->n_pieces) {
		size_t got = 0;
		if (read_piece(p, out + *n, cap - *n, &got, e))
			return -1;
		*n += got;
		p->at += got;
		if (p->at < p->pieces[p->piece].n)
			continue;
		base_closep(&p->fd);
		p->fd = -1;
		p->at = 0;
		p->piece++;
	}
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
	auto_(gguf) g = NULL;
	auto_(package) p = xcalloc(1, sizeof *p);
	struct shards shards = find_shards(o->gguf);
	p->fd = -1;
	arena_init(&p->arena);
	if (shards.n + o->n_licences + 2 > LIMIT_LAYERS)
		return err_set(e, ERR_INVALID,
			       "a model can have at most %d files",
			       LIMIT_LAYERS);
	make_room(p, shards.n + o->n_licences + 2);
	if (add_all_weights(p, o->gguf, shards, &g, e) || add_others(p, o, e) ||
	    write_config(p, o, g, e) || write_manifest(p, e))
		return -1;
	plan_tar(p);
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
	base_closep(&p->fd);
	free(p);
}

const struct digest *package_id(const struct package *p)
{
	return &p->id;
}

uint64_t package_tar_bytes(const struct package *p)
{
	return p->tar_bytes;
}
