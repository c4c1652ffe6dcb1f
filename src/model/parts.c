#include "model/parts.h"
#include "base/limits.h"
#include "model/tree.h"
#include "oci/gojson.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* Instead of the file's own: see the header. */
#define FILE_TIME "1970-01-01T00:00:00Z"

void parts_init(struct parts *p)
{
	*p = (struct parts){ 0 };
	arena_init(&p->arena);
}

void parts_fini(struct parts *p)
{
	arena_fini(&p->arena);
	free(p->all);
}

/* ---- which files ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int append(struct parts *p, struct part part, struct err *e)
{
	if (p->n == LIMIT_LAYERS)
		return err_set(e, ERR_INVALID,
			       "a model can have at most %d files",
			       LIMIT_LAYERS);
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 16;
		p->all = xrealloc(p->all, p->cap * sizeof *p->all);
	}
	part.path = arena_str(&p->arena, str_of(part.path));
	part.name = arena_str(&p->arena, str_of(part.name));
	p->all[p->n++] = part;
	return 0;
}

static bool replaces(const struct part *new, const struct part *old)
{
	bool is_only_one =
		new->kind == MANIFEST_TEMPLATE || new->kind == MANIFEST_MMPROJ;
	return old->is_of_folder && (strcmp(new->name, old->name) == 0 ||
				     (is_only_one && new->kind == old->kind));
}

int parts_add(struct parts *p, enum manifest_kind kind, const char *path,
	      struct err *e)
{
	struct part new = { path, base_name(path), kind, false };
	size_t n = 0;
	bool has_folder = false;
	for (size_t i = 0; i < p->n; i++) {
		has_folder |= p->all[i].is_of_folder;
		if (!replaces(&new, &p->all[i]))
			p->all[n++] = p->all[i];
	}
	p->n = n;
	/* A folder is unpacked as one, so two files cannot share a name. */
	for (size_t i = 0; i < n && has_folder; i++)
		if (strcmp(new.name, p->all[i].name) == 0)
			return err_set(e, ERR_INVALID,
				       "two files are named %s; rename one",
				       new.name);
	return append(p, new, e);
}

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

int parts_add_gguf(struct parts *p, const char *path, struct err *e)
{
	struct shards shards = find_shards(path);
	if (shards.n == 1)
		return parts_add(p, MANIFEST_GGUF, path, e);
	for (unsigned i = 1; i <= shards.n; i++) {
		auto_free char *shard =
			xasprintf("%.*s-%05u-of-%05u.gguf",
				  STR_ARG(shards.stem), i, shards.n);
		if (access(shard, F_OK) != 0)
			return err_sys(e, "shard %u of %u: open %s", i,
				       shards.n, shard);
		if (parts_add(p, MANIFEST_GGUF, shard, e))
			return -1;
	}
	return 0;
}

static bool is_weights(enum manifest_kind kind)
{
	return kind == MANIFEST_GGUF || kind == MANIFEST_SAFETENSORS ||
	       kind == MANIFEST_DDUF;
}

/* One format, and of GGUF files one model: an engine gets them all. */
static int check_weights(const struct parts *p, const struct tree *t,
			 const char *dir, struct err *e)
{
	const struct part *first = NULL;
	for (size_t i = 0; i < p->n; i++) {
		const struct part *part = &p->all[i];
		if (!is_weights(part->kind))
			continue;
		if (!first) {
			first = part;
			continue;
		}
		struct shards x = find_shards(first->name);
		struct shards y = find_shards(part->name);
		bool is_same =
			part->kind == first->kind &&
			(part->kind == MANIFEST_SAFETENSORS ||
			 (x.n > 1 && x.n == y.n && x.stem.n == y.stem.n &&
			  !memcmp(x.stem.p, y.stem.p, x.stem.n)));
		if (!is_same)
			return err_set(e, ERR_INVALID,
				       "%s holds more than one model (%s and "
				       "%s); leave one there",
				       dir, first->name, part->name);
	}
	if (first)
		return 0;
	return err_set(e, ERR_INVALID,
		       t->n_links ? "%s holds no model (no .safetensors file); "
				    "its symbolic links were left out: copy "
				    "what they point to ('cp -rL')"
				  : "%s holds no model (no .safetensors file)",
		       dir);
}

int parts_add_folder(struct parts *p, const char *dir, struct err *e)
{
	struct tree t;
	int failed = tree_read(dir, &t, e);
	for (size_t i = 0; i < t.n && !failed; i++) {
		auto_free char *path = xasprintf("%s/%s", dir, t.names[i]);
		struct part part = { path, t.names[i],
				     manifest_name_kind(t.names[i]), true };
		failed = append(p, part, e);
	}
	if (!failed)
		failed = check_weights(p, &t, dir, e);
	tree_fini(&t);
	return failed;
}

/* ---- a file as a layer ---- */

int parts_open(const char *path, int *out, struct err *e)
{
	struct stat st;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file",
			       path);
	*out = steal_fd(&fd);
	return 0;
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

int parts_annotate(struct manifest_blob *layer, const char *name,
		   struct arena *a, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	if (buf_puts(&text, "{\"name\":") ||
	    gojson_put(&text, base_name(name)) ||
	    buf_printf(&text,
		       ",\"mode\":420,\"uid\":0,\"gid\":0,\"size\":%" PRIu64
		       ",\"mtime\":\"" FILE_TIME "\",\"typeflag\":0}",
		       layer->bytes))
		return err_set(e, ERR_TOO_LARGE, "a file name is too long");
	struct manifest_annotation rows[] = {
		{ "org.cncf.model.file.mediatype.untested", "false" },
		{ "org.cncf.model.file.metadata+json",
		  arena_str(a, buf_str(&text)) },
		{ "org.cncf.model.filepath", arena_str(a, str_of(name)) },
	};
	layer->n_annotations = ARRAY_LEN(rows);
	layer->annotations = arena_alloc(a, sizeof rows);
	memcpy(layer->annotations, rows, sizeof rows);
	return 0;
}

/* Where a name tells what a layer is (all of CNCF's, and projectors), it must
 * tell what was meant. A licence is a document under any name. */
static int check_name(const struct part *part, const struct manifest_blob *l,
		      struct err *e)
{
	static const char *const needs[] = {
		[MANIFEST_GGUF] = "end in .gguf, without 'mmproj' in it",
		[MANIFEST_DDUF] = "end in .dduf",
		[MANIFEST_MMPROJ] = "have 'mmproj' in it",
		[MANIFEST_TEMPLATE] = "end in .jinja",
	};
	if (manifest_layer_kind(l) == part->kind ||
	    part->kind == MANIFEST_LICENCE || !needs[part->kind])
		return 0;
	return err_set(e, ERR_INVALID,
		       "%s would be taken for something else by its name: "
		       "rename it, it must %s",
		       part->path, needs[part->kind]);
}

int parts_layer(const struct part *part, bool is_cncf, struct arena *a,
		struct manifest_blob *out, struct err *e)
{
	auto_close int fd = -1;
	*out = (struct manifest_blob){
		.media_type = manifest_layer_type(part->kind, is_cncf),
	};
	if (parts_annotate(out, part->name, a, e) || check_name(part, out, e) ||
	    parts_open(part->path, &fd, e) || hash_file(fd, part->path, out, e))
		return -1;
	/* Again, with the size. */
	return parts_annotate(out, part->name, a, e);
}
