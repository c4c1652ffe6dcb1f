/* The order of writes is what makes a crash harmless. Adding: blobs, manifest,
 * index, each synced before the next begins, so the index never names what is
 * not there. Deleting: the index first, then the files. */
#include "oci/store.h"
#include "oci/folder.h"
#include "oci/lease.h"
#include "oci/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define INDEX_FILE "models.json"
#define LAYOUT_FILE "layout.json"
#define LOCK_FILE ".lock"
#define NEW_INDEX "{\n  \"models\": []\n}"
#define NEW_LAYOUT "{\n  \"version\": \"1.0.0\"\n}"
#define SWEEP_AFTER_S (7 * 24 * 3600)

struct store {
	struct folder folder;
	struct lease_set leases;
};

struct folder *store_folder(struct store *s)
{
	return &s->folder;
}

/* ---- opening ---- */

static int create_absent(struct store *s, const char *name, const char *text,
			 struct err *e)
{
	struct stat st;
	if (fstatat(s->folder.fd, name, &st, 0) == 0)
		return 0;
	return folder_write(&s->folder, "", name, str_of(text), e);
}

static int prepare(struct store *s, struct err *e)
{
	auto_close int locked = -1;
	if (folder_lock(&s->folder, LOCK_FILE, &locked, e) ||
	    create_absent(s, LAYOUT_FILE, NEW_LAYOUT, e) ||
	    create_absent(s, INDEX_FILE, NEW_INDEX, e))
		return -1;
	folder_sweep(&s->folder, "", SWEEP_AFTER_S);
	folder_sweep(&s->folder, STORE_BLOBS, SWEEP_AFTER_S);
	folder_sweep(&s->folder, STORE_MANIFESTS, SWEEP_AFTER_S);
	return 0;
}

int store_open(const char *dir, struct store **out, struct err *e)
{
	auto_(store) s = xcalloc(1, sizeof *s);
	lease_set_init(&s->leases, &s->folder);
	if (folder_open(dir, &s->folder, e) ||
	    (!s->folder.is_read_only && prepare(s, e)))
		return err_wrap(e, "model store");
	*out = steal(&s);
	return 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	lease_set_fini(&s->leases);
	folder_close(&s->folder);
	free(s);
}

/* ---- reading ---- */

static int read_verified(struct store *s, const char *sub,
			 const struct digest *d, struct buf *out, struct err *e)
{
	char path[FOLDER_PATH_BYTES];
	snprintf(path, sizeof path, "%s/%s", sub, d->hex);
	int outcome = folder_read(&s->folder, path, out, e);
	if (outcome)
		return outcome < 0 ? -1 : STORE_ABSENT;
	struct digest got = digest_of(buf_str(out));
	if (!digest_eq(&got, d))
		return err_set(e, ERR_CORRUPT,
			       "%s/%s has changed: its digest is sha256:%s",
			       s->folder.path, path, got.hex);
	return 0;
}

int store_read_manifest(struct store *s, const struct digest *d,
			struct buf *out, struct err *e)
{
	return read_verified(s, STORE_MANIFESTS, d, out, e);
}

int store_read_blob(struct store *s, const struct digest *d, struct buf *out,
		    struct err *e)
{
	return read_verified(s, STORE_BLOBS, d, out, e);
}

int64_t store_since(const struct store *s, const struct digest *id)
{
	struct stat st;
	char path[FOLDER_PATH_BYTES];
	snprintf(path, sizeof path, STORE_MANIFESTS "/%s", id->hex);
	return fstatat(s->folder.fd, path, &st, 0) == 0 ? st.st_mtime : 0;
}

const char *store_blob_path(const struct store *s, const struct digest *d,
			    struct arena *a)
{
	return arena_printf(a, "%s/" STORE_BLOBS "/%s", s->folder.path, d->hex);
}

int store_index(struct store *s, struct index **out, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_INDEX_BYTES);
	int outcome = folder_read(&s->folder, INDEX_FILE, &text, e);
	if (outcome < 0)
		return -1;
	struct str found =
		outcome == FOLDER_ABSENT ? STR("null") : buf_str(&text);
	if (index_parse(found, out, e) == 0)
		return 0;
	e->code = ERR_CORRUPT;
	return err_wrap(e, "%s/" INDEX_FILE, s->folder.path);
}

int store_stamp(struct store *s, struct store_stamp *out, struct err *e)
{
	struct stat st;
	*out = (struct store_stamp){ 0 };
	if (fstatat(s->folder.fd, INDEX_FILE, &st, 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, "stat %s/" INDEX_FILE, s->folder.path);
	}
	out->ino = st.st_ino;
	out->bytes = (uint64_t)st.st_size;
	out->changed_ns =
		(int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

int store_usage(struct store *s, uint64_t *out_bytes, struct err *e)
{
	return folder_usage(s->folder.path, out_bytes, e);
}

/* ---- changing the index ---- */

int store_begin(struct store *s, int *locked, struct index **x, struct err *e)
{
	if (folder_make(&s->folder, "", e) ||
	    folder_lock(&s->folder, LOCK_FILE, locked, e) ||
	    create_absent(s, LAYOUT_FILE, NEW_LAYOUT, e))
		return -1;
	return store_index(s, x, e);
}

int store_save(struct store *s, const struct index *x, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_INDEX_BYTES);
	if (index_write(x, &text))
		return err_set(e, ERR_TOO_LARGE, "the store has too many tags");
	return folder_write(&s->folder, "", INDEX_FILE, buf_str(&text), e);
}

static int check_blob(struct store *s, const struct manifest_blob *b,
		      struct err *e)
{
	struct stat st;
	char path[FOLDER_PATH_BYTES];
	snprintf(path, sizeof path, STORE_BLOBS "/%s", b->digest.hex);
	if (fstatat(s->folder.fd, path, &st, 0) < 0)
		return err_set(e, ERR_INVALID,
			       "missing blob \"sha256:%s\" for manifest - "
			       "refusing to write unless all blobs exist",
			       b->digest.hex);
	if ((uint64_t)st.st_size != b->bytes)
		return err_set(
			e, ERR_INVALID,
			"blob \"sha256:%s\" has %lld bytes, the manifest "
			"says %llu",
			b->digest.hex, (long long)st.st_size,
			(unsigned long long)b->bytes);
	return 0;
}

static int check_blobs(struct store *s, const struct manifest *m, struct err *e)
{
	for (size_t i = 0; i < m->n_layers; i++) {
		if (check_blob(s, &m->layers[i], e))
			return -1;
	}
	return check_blob(s, &m->config, e);
}

static void add(struct index *x, const struct manifest *m,
		const struct digest *id)
{
	struct digest *files =
		arena_alloc(&x->arena, (m->n_layers + 1) * sizeof *files);
	for (size_t i = 0; i < m->n_layers; i++)
		files[i] = m->layers[i].digest;
	files[m->n_layers] = m->config.digest;
	index_add(x, id, files, m->n_layers + 1);
}

/* The names of blobs and folders must last before the index tells of them; the
 * one who gave them may have been killed before it saw to that. */
static int sync_names(struct store *s, struct err *e)
{
	return folder_sync(&s->folder, STORE_BLOBS, e) ||
			       folder_sync(&s->folder, "blobs", e) ||
			       folder_sync(&s->folder, "manifests", e)
		       ? -1
		       : 0;
}

/* Also of a model that the index has: another program may have brought that
 * back from before its deletion. */
static int put_manifest(struct store *s, const struct digest *id,
			struct str manifest, struct err *e)
{
	auto_buf struct buf there;
	struct err unused;
	buf_init(&there, LIMIT_MANIFEST_BYTES);
	if (store_read_manifest(s, id, &there, &unused) == 0)
		return folder_sync(&s->folder, STORE_MANIFESTS, e);
	return folder_write(&s->folder, STORE_MANIFESTS, id->hex, manifest, e);
}

int store_add(struct store *s, struct str manifest, struct digest *out_id,
	      struct err *e)
{
	auto_close int locked = -1;
	auto_(index) x = NULL;
	auto_(manifest) m = NULL;
	struct ref id = { .kind = REF_ID, .digest = digest_of(manifest) };
	*out_id = id.digest;
	if (manifest_parse(manifest, &m, e) || store_begin(s, &locked, &x, e))
		return -1;
	if (check_blobs(s, m, e) || put_manifest(s, &id.digest, manifest, e) ||
	    sync_names(s, e))
		return -1;
	if (index_find(x, &id))
		return folder_sync(&s->folder, "", e);
	add(x, m, &id.digest);
	return store_save(s, x, e);
}

/* What is so already needs no write, and so is no error where none can be. */
static bool has_tag(struct store *s, const struct ref *id, const char *tag)
{
	auto_(index) x = NULL;
	struct err unused;
	if (store_index(s, &x, &unused))
		return false;
	const struct index_model *m = index_find(x, id);
	return m && index_has_tag(m, tag);
}

int store_tag(struct store *s, const struct digest *id, const char *tag,
	      struct err *e)
{
	auto_close int locked = -1;
	auto_(index) x = NULL;
	struct ref r = { .kind = REF_ID, .digest = *id };
	if (s->folder.is_read_only && has_tag(s, &r, tag))
		return 0;
	if (store_begin(s, &locked, &x, e))
		return -1;
	struct index_model *m = index_find(x, &r);
	if (!m)
		return STORE_ABSENT;
	if (index_has_tag(m, tag))
		return folder_sync(&s->folder, "", e);
	index_tag(x, m, tag);
	return store_save(s, x, e);
}

/* ---- deleting ---- */

static bool is_needed(const struct index *x, const struct digest *file)
{
	for (size_t i = 0; i < x->n; i++) {
		for (size_t k = 0; k < x->models[i].n_files; k++) {
			if (digest_eq(&x->models[i].files[k], file))
				return true;
		}
	}
	return false;
}

/* The files of a model that the index names no more. One that cannot be
 * removed only takes space. */
static void remove_files(struct store *s, const struct index *x,
			 const struct index_model *gone)
{
	char path[FOLDER_PATH_BYTES];
	snprintf(path, sizeof path, STORE_MANIFESTS "/%s", gone->id.hex);
	folder_remove(&s->folder, path);
	snprintf(path, sizeof path, STORE_BUNDLES "/%s", gone->id.hex);
	folder_remove_tree(&s->folder, path);
	for (size_t i = 0; i < gone->n_files; i++) {
		if (is_needed(x, &gone->files[i]) ||
		    lease_mark(&s->leases, &gone->files[i]))
			continue;
		snprintf(path, sizeof path, STORE_BLOBS "/%s",
			 gone->files[i].hex);
		folder_remove(&s->folder, path);
	}
}

static void untag(struct index_model *m, const char *tag, struct arena *a,
		  struct store_removed *out)
{
	out->untagged[out->n_untagged++] = arena_str(a, str_of(tag));
	index_untag(m, tag);
}

int store_delete(struct store *s, const struct ref *ref, const char *name,
		 bool force, struct arena *a, struct store_removed *out,
		 struct err *e)
{
	char tag[REF_TEXT_BYTES];
	auto_close int locked = -1;
	auto_(index) x = NULL;
	if (store_begin(s, &locked, &x, e))
		return -1;
	struct index_model *m = index_find(x, ref);
	if (!m)
		return STORE_ABSENT;
	if (ref->kind != REF_NAME && m->n_tags > 1 && !force)
		return err_set(
			e, ERR_CONFLICT,
			"unable to delete \"%s\" (must be forced) due to "
			"multiple tag references: resource conflict",
			name);
	*out = (struct store_removed){ .id = m->id };
	out->untagged = arena_alloc(a, m->n_tags * sizeof *out->untagged);
	if (ref->kind == REF_NAME)
		untag(m, ref_text(ref, tag), a, out);
	else
		while (m->n_tags)
			untag(m, m->tags[0], a, out);
	out->is_deleted = m->n_tags == 0;
	struct index_model gone = *m;
	if (out->is_deleted)
		index_remove(x, m);
	if (store_save(s, x, e))
		return -1;
	if (out->is_deleted)
		remove_files(s, x, &gone);
	return 0;
}

/* ---- pulls ---- */

void store_lease(struct store *s, const struct digest *blobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		lease_take(&s->leases, &blobs[i]);
}

int store_settle(struct store *s, struct err *e)
{
	auto_close int locked = -1;
	if (s->folder.is_read_only)
		return 0; /* nothing is deleted here */
	if (folder_make(&s->folder, "", e))
		return -1;
	return folder_lock(&s->folder, LOCK_FILE, &locked, e);
}

/* What a deletion had to leave, unless a model has come to need it. */
static void remove_unneeded(struct store *s, const struct digest *d)
{
	char path[FOLDER_PATH_BYTES];
	auto_close int locked = -1;
	auto_(index) x = NULL;
	struct err unused;
	if (store_begin(s, &locked, &x, &unused) || is_needed(x, d) ||
	    lease_mark(&s->leases, d))
		return;
	snprintf(path, sizeof path, STORE_BLOBS "/%s", d->hex);
	folder_remove(&s->folder, path);
}

void store_release(struct store *s, const struct digest *blobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lease_give(&s->leases, &blobs[i]))
			remove_unneeded(s, &blobs[i]);
}

bool store_is_leased(struct store *s, const struct digest *d)
{
	return lease_mark(&s->leases, d);
}

bool store_has_blob(struct store *s, const struct digest *d, uint64_t bytes)
{
	struct stat st;
	char path[FOLDER_PATH_BYTES];
	snprintf(path, sizeof path, STORE_BLOBS "/%s", d->hex);
	return fstatat(s->folder.fd, path, &st, 0) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes;
}

int store_room(struct store *s, uint64_t *out_bytes, struct err *e)
{
	struct statvfs v;
	if (folder_make(&s->folder, STORE_BLOBS, e))
		return -1;
	if (fstatvfs(s->folder.fd, &v) < 0)
		return err_sys(e, "statvfs %s", s->folder.path);
	*out_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}
