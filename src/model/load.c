#include "model/load.h"
#include "base/json.h"
#include "base/limits.h"
#include "model/tar.h"
#include "oci/blob.h"

struct load {
	struct store *store;
	struct tar *tar;     /* owned */
	struct blob *blob;   /* owned; the one that is coming, or NULL */
	struct buf *text;    /* where the entry that is coming goes, or NULL */
	struct buf manifest; /* empty until it came */
	struct buf index;    /* of an OCI image layout; the same */
	uint64_t left;	     /* bytes of the blob that have not come */
	struct digest *leased; /* owned; the blobs that came, each once */
	size_t n_leased, cap_leased;
};

struct load *load_new(struct store *s)
{
	struct load *l = xcalloc(1, sizeof *l);
	l->store = s;
	l->tar = tar_new();
	buf_init(&l->manifest, LIMIT_MANIFEST_BYTES);
	buf_init(&l->index, LIMIT_MANIFEST_BYTES);
	return l;
}

void load_free(struct load *l)
{
	if (!l)
		return;
	tar_free(l->tar);
	blob_free(l->blob);
	store_release(l->store, l->leased, l->n_leased);
	free(l->leased);
	buf_fini(&l->manifest);
	buf_fini(&l->index);
	free(l);
}

static bool leaves_folder(struct str name)
{
	struct str part;
	if (str_starts(name, "/"))
		return true;
	while (str_split(&name, '/', &part)) {
		if (str_eq(part, ".."))
			return true;
	}
	return false;
}

/* No model has it before the end, and nobody may remove it until then; so this
 * stands before the look at whether the store has it. */
static int lease(struct load *l, const struct digest *d, struct err *e)
{
	for (size_t i = 0; i < l->n_leased; i++)
		if (digest_eq(&l->leased[i], d))
			return 0;
	if (l->n_leased == LIMIT_LOAD_BLOBS)
		return err_set(e, ERR_TOO_LARGE,
			       "the archive holds more than %d blobs",
			       LIMIT_LOAD_BLOBS);
	if (l->n_leased == l->cap_leased) {
		l->cap_leased = l->cap_leased ? 2 * l->cap_leased : 16;
		l->leased =
			xrealloc(l->leased, l->cap_leased * sizeof *l->leased);
	}
	l->leased[l->n_leased++] = *d;
	store_lease(l->store, d, 1);
	return store_settle(l->store, e);
}

static int begin_blob(struct load *l, struct str hex, uint64_t bytes,
		      struct err *e)
{
	struct digest digest;
	l->left = bytes;
	if (!digest_parse_hex(hex, &digest))
		return err_set(e, ERR_INVALID,
			       "\"%.*s\" is no name of a blob: 64 lower-case "
			       "hex digits are needed",
			       STR_ARG(str_head(hex, 80)));
	if (lease(l, &digest, e))
		return -1;
	return blob_begin(l->store, &digest, bytes, &l->blob, e);
}

static int begin_entry(struct load *l, const struct tar_entry *entry,
		       struct err *e)
{
	static const char blobs[] = "blobs/sha256/";
	struct str name = str_of(entry->name);
	while (str_starts(name, "./"))
		name = str_tail(name, 2);
	l->text = NULL;
	if (leaves_folder(name))
		return err_set(e, ERR_INVALID,
			       "the archive holds the path \"%.*s\"",
			       STR_ARG(str_head(name, 100)));
	if (!entry->is_file)
		return 0;
	if (str_starts(name, blobs))
		return begin_blob(l, str_tail(name, sizeof blobs - 1),
				  entry->bytes, e);
	if (str_eq(name, "manifest.json"))
		l->text = &l->manifest;
	else if (str_eq(name, "index.json"))
		l->text = &l->index;
	if (l->text && l->text->n)
		return err_set(e, ERR_INVALID, "the archive has two manifests");
	return 0; /* others are none of ours */
}

static int take_data(struct load *l, struct str data, struct err *e)
{
	if (l->text && buf_put(l->text, data.p, data.n))
		return err_set(e, ERR_TOO_LARGE,
			       "read manifest: it is larger than %u bytes",
			       LIMIT_MANIFEST_BYTES);
	if (!l->blob)
		return 0;
	if (blob_write(l->blob, data.p, data.n, e))
		return err_wrap(e, "writing blob");
	l->left -= data.n;
	return 0;
}

/* An empty blob ends where it begins. */
static int end_blob(struct load *l, struct err *e)
{
	if (!l->blob || l->left)
		return 0;
	if (blob_commit(l->blob, e))
		return err_wrap(e, "writing blob");
	blob_free(steal(&l->blob));
	return 0;
}

int load_feed(struct load *l, struct str bytes, struct err *e)
{
	struct str data;
	for (;;) {
		int outcome = tar_next(l->tar, &bytes, &data, e);
		if (outcome == TAR_MORE || outcome == TAR_END)
			return 0;
		if (outcome < 0)
			return err_wrap(e, "model load interrupted");
		if (outcome == TAR_ENTRY)
			outcome = begin_entry(l, tar_entry(l->tar), e);
		else
			outcome = take_data(l, data, e);
		if (outcome || end_blob(l, e))
			return -1;
	}
}

/* The one manifest that an OCI image layout's index names; it came as a blob.
 */
static int manifest_of_index(struct load *l, struct err *e)
{
	auto_json *index = NULL;
	struct str text = { 0 };
	struct digest id;
	if (json_parse_bounded(buf_str(&l->index), LIMIT_MANIFEST_MARKS, &index,
			       e))
		return err_wrap(e, "read index.json");
	const json_t *all = json_object_get(index, "manifests");
	if (json_array_size(all) != 1)
		return err_set(e, ERR_UNSUPPORTED,
			       "read index.json: it must name one model, not "
			       "%zu",
			       json_array_size(all));
	if (json_get_str(json_array_get(all, 0), "digest", &text, e))
		return err_wrap(e, "read index.json");
	if (digest_parse(text, &id, e))
		return err_wrap(e, "read index.json");
	/* `docker save` writes a manifest.json of its own beside it. */
	buf_clear(&l->manifest);
	int outcome = store_read_blob(l->store, &id, &l->manifest, e);
	if (outcome == STORE_ABSENT)
		return err_set(e, ERR_INVALID,
			       "read manifest: the archive does not hold "
			       "sha256:%s",
			       id.hex);
	return outcome;
}

int load_end(struct load *l, struct digest *out_id, struct err *e)
{
	if (!tar_is_whole(l->tar))
		return err_set(e, ERR_INVALID,
			       "model load interrupted: unexpected EOF");
	if (l->index.n && manifest_of_index(l, e))
		return -1;
	if (!l->manifest.n)
		return err_set(e, ERR_INVALID,
			       "read manifest: manifest not found");
	return store_add(l->store, buf_str(&l->manifest), out_id, e);
}
