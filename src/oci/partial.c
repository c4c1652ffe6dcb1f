#include "oci/partial.h"
#include "base/limits.h"
#include "oci/folder.h"
#include "oci/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct partial {
	struct store *store;
	struct folder *folder; /* the store's */
	struct digest want;
	uint64_t bytes;
	uint64_t chunk_bytes;
	bool is_ranges;
	int fd;	 /* owned, locked */
	int map; /* owned; -1 without ranges */
	char path[FOLDER_PATH_BYTES];
	char map_path[FOLDER_PATH_BYTES];
	struct digest_ctx *hash;
	uint64_t hashed;
	char *room; /* owned; to read back into */
};

static void name_it(struct partial *p, bool is_ranges)
{
	p->is_ranges = is_ranges;
	snprintf(p->path, sizeof p->path, STORE_BLOBS "/%s%s" FOLDER_INCOMPLETE,
		 p->want.hex, is_ranges ? ".ranges" : "");
	snprintf(p->map_path, sizeof p->map_path,
		 STORE_BLOBS "/%s.map" FOLDER_INCOMPLETE, p->want.hex);
}

void partial_free(struct partial *p)
{
	if (!p)
		return;
	base_closep(&p->fd);
	base_closep(&p->map);
	digest_ctx_free(p->hash);
	free(p->room);
	free(p);
}

/* ---- opening ---- */

/* Opens and locks the data file under its name. PARTIAL_THERE: it has become
 * the blob meanwhile, or another form of partial: look again. */
static int open_locked(struct partial *p, struct err *e)
{
	struct stat held, named;
	p->fd = openat(p->folder->fd, p->path,
		       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (p->fd < 0)
		return err_sys(e, "open %s/%s", p->folder->path, p->path);
	if (flock(p->fd, LOCK_EX | LOCK_NB) < 0)
		return PARTIAL_BUSY;
	if (fstat(p->fd, &held) < 0 ||
	    fstatat(p->folder->fd, p->path, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_ino != named.st_ino)
		return PARTIAL_BUSY;
	return 0;
}

/* The furthest byte that the map says is there. */
static uint64_t last_byte(const struct ranges *have)
{
	uint64_t last = 0;
	for (size_t i = 0; i < have->n; i++)
		if (have->chunks[i].done)
			last = i * have->chunk_bytes + have->chunks[i].done;
	return last;
}

/* False: no partial with holes that can be trusted. */
static bool read_map(struct partial *p, struct ranges *have)
{
	auto_buf struct buf text;
	struct err unused;
	struct stat st;
	buf_init(&text, RANGES_HEADER_BYTES + (size_t)LIMIT_RANGES_CHUNKS *
						      RANGES_SLOT_BYTES);
	if (folder_read(p->folder, p->map_path, &text, &unused) ||
	    !ranges_read(buf_str(&text), p->bytes, have))
		return false;
	if (fstatat(p->folder->fd, p->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && (uint64_t)st.st_size >= last_byte(have))
		return true;
	ranges_fini(have);
	return false;
}

static int open_map(struct partial *p, int flags, struct err *e)
{
	p->map = openat(p->folder->fd, p->map_path,
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0644);
	if (p->map < 0)
		return err_sys(e, "open %s/%s", p->folder->path, p->map_path);
	/* Says to who tidies up that it is in use, as the data's lock does. */
	flock(p->map, LOCK_EX | LOCK_NB);
	return 0;
}

/* A plain prefix; one that is too long is no prefix of this blob. */
static int open_plain(struct partial *p, struct ranges *have, struct err *e)
{
	struct stat st;
	int got = open_locked(p, e);
	if (got)
		return got;
	if (fstat(p->fd, &st) < 0)
		return err_sys(e, "stat %s/%s", p->folder->path, p->path);
	uint64_t there = (uint64_t)st.st_size;
	if (there > p->bytes) {
		there = 0;
		if (ftruncate(p->fd, 0) < 0)
			return err_sys(e, "truncate %s/%s", p->folder->path,
				       p->path);
	}
	ranges_init(have, p->bytes, p->chunk_bytes);
	ranges_set_prefix(have, there);
	p->chunk_bytes = have->chunk_bytes;
	return 0;
}

static int open_files(struct partial *p, struct ranges *have, struct err *e)
{
	name_it(p, true);
	if (!read_map(p, have)) {
		folder_remove(p->folder, p->map_path);
		folder_remove(p->folder, p->path);
		name_it(p, false);
		return open_plain(p, have, e);
	}
	p->chunk_bytes = have->chunk_bytes;
	int got = open_locked(p, e);
	if (got == 0)
		got = open_map(p, 0, e);
	if (got)
		ranges_fini(have);
	return got;
}

int partial_open(struct store *s, const struct digest *want, uint64_t bytes,
		 uint64_t chunk_bytes, struct partial **out,
		 struct ranges *have, struct err *e)
{
	auto_(partial) p = xcalloc(1, sizeof *p);
	p->store = s;
	p->folder = store_folder(s);
	p->want = *want;
	p->bytes = bytes;
	p->chunk_bytes = chunk_bytes;
	p->fd = p->map = -1;
	p->hash = digest_ctx_new();
	p->room = xcalloc(1, LIMIT_PULL_WRITE_BYTES);
	if (store_has_blob(s, want, bytes))
		return PARTIAL_THERE;
	if (folder_make(p->folder, STORE_BLOBS, e))
		return -1;
	int got = open_files(p, have, e);
	/* The other process may have been done just now. */
	if (got == PARTIAL_BUSY && store_has_blob(s, want, bytes))
		return PARTIAL_THERE;
	if (got == 0)
		*out = steal(&p);
	return got;
}

uint64_t partial_bytes(struct store *s, const struct digest *d)
{
	static const char *const kinds[] = { "", ".ranges" };
	uint64_t most = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct stat st;
		char path[FOLDER_PATH_BYTES];
		snprintf(path, sizeof path,
			 STORE_BLOBS "/%s%s" FOLDER_INCOMPLETE, d->hex,
			 kinds[i]);
		if (fstatat(store_folder(s)->fd, path, &st, 0) == 0)
			most = MAX(most, (uint64_t)st.st_blocks * 512);
	}
	return most;
}

/* ---- bytes ---- */

static int write_at(int fd, uint64_t at, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = pwrite(fd, bytes.p, bytes.n, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += (uint64_t)n;
		bytes = str_tail(bytes, (size_t)n);
	}
	return 0;
}

bool partial_allows_ranges(const struct partial *p)
{
	return p->is_ranges;
}

int partial_allow_ranges(struct partial *p, const struct ranges *have,
			 struct err *e)
{
	char was[FOLDER_PATH_BYTES], header[RANGES_HEADER_BYTES];
	char slot[RANGES_SLOT_BYTES];
	memcpy(was, p->path, sizeof was);
	if (p->is_ranges)
		return 0;
	name_it(p, true);
	if (open_map(p, O_CREAT | O_TRUNC, e))
		return -1;
	ranges_put_header(have, header);
	int failed = write_at(p->map, 0, (struct str){ header, sizeof header });
	for (size_t i = 0; i < have->n && !failed; i++) {
		ranges_put_slot(have->chunks[i].done, slot);
		failed = write_at(p->map, RANGES_HEADER_BYTES + i * sizeof slot,
				  (struct str){ slot, sizeof slot });
	}
	if (failed)
		return err_sys(e, "write %s/%s", p->folder->path, p->map_path);
	/* Last: a map without data is nothing, data without its map is lost. */
	if (renameat(p->folder->fd, was, p->folder->fd, p->path) < 0)
		return err_sys(e, "rename %s/%s", p->folder->path, was);
	return 0;
}

/* The slots of the chunks that these bytes are in; they came in order. */
static int note(struct partial *p, uint64_t at, uint64_t n)
{
	char slot[RANGES_SLOT_BYTES];
	for (uint64_t end = at + n; at < end;) {
		uint64_t i = at / p->chunk_bytes;
		uint64_t begin = i * p->chunk_bytes;
		uint64_t until = MIN(end, begin + p->chunk_bytes);
		ranges_put_slot((uint32_t)(until - begin), slot);
		if (write_at(p->map, RANGES_HEADER_BYTES + i * sizeof slot,
			     (struct str){ slot, sizeof slot }))
			return -1;
		at = until;
	}
	return 0;
}

int partial_write(struct partial *p, uint64_t at, struct str bytes,
		  struct err *e)
{
	if (write_at(p->fd, at, bytes))
		return err_sys(e, "write %s/%s", p->folder->path, p->path);
	/* Begins to go to the disk now, so that the end has less to wait for;
	 * where that cannot be it changes nothing. */
	sync_file_range(p->fd, (off_t)at, (off_t)bytes.n,
			SYNC_FILE_RANGE_WRITE);
	if (p->is_ranges && note(p, at, bytes.n))
		return err_sys(e, "write %s/%s", p->folder->path, p->map_path);
	return 0;
}

int partial_hash(struct partial *p, uint64_t end, struct err *e)
{
	uint64_t until = MIN(end, p->hashed + LIMIT_PULL_WRITE_BYTES);
	while (p->hashed < until) {
		size_t want = (size_t)MIN(until - p->hashed,
					  (uint64_t)LIMIT_PULL_WRITE_BYTES);
		ssize_t n = pread(p->fd, p->room, want, (off_t)p->hashed);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read %s/%s", p->folder->path,
				       p->path);
		if (n == 0)
			return err_set(e, ERR_CORRUPT,
				       "%s/%s has become shorter",
				       p->folder->path, p->path);
		digest_ctx_put(p->hash, p->room, (size_t)n);
		p->hashed += (uint64_t)n;
	}
	return p->hashed < end ? PARTIAL_MORE : 0;
}

uint64_t partial_hashed(const struct partial *p)
{
	return p->hashed;
}

/* ---- the end ---- */

int partial_publish(struct partial *p, struct err *e)
{
	struct digest got = digest_ctx_end(p->hash);
	if (!digest_eq(&got, &p->want)) {
		err_set(e, ERR_CORRUPT,
			"blob digest mismatch for \"sha256:%s\": expected "
			"sha256:%s, got sha256:%s",
			p->want.hex, p->want.hex, got.hex);
		return PARTIAL_WRONG;
	}
	/* The kernel tells of a page that it could not write once, and then
	 * takes it for written: another try must not believe it. */
	if (fsync(p->fd) < 0) {
		err_sys(e, "sync %s/%s", p->folder->path, p->path);
		partial_discard(p);
		return -1;
	}
	if (folder_publish(p->folder, p->fd, p->path, STORE_BLOBS, p->want.hex,
			   e))
		return -1;
	if (p->is_ranges)
		folder_remove(p->folder, p->map_path);
	return 0;
}

void partial_discard(struct partial *p)
{
	if (p->is_ranges)
		folder_remove(p->folder, p->map_path);
	folder_remove(p->folder, p->path);
}

int partial_restart(struct partial *p, struct err *e)
{
	char was[FOLDER_PATH_BYTES];
	memcpy(was, p->path, sizeof was);
	digest_ctx_free(p->hash);
	p->hash = digest_ctx_new();
	p->hashed = 0;
	if (ftruncate(p->fd, 0) < 0)
		return err_sys(e, "truncate %s/%s", p->folder->path, p->path);
	if (!p->is_ranges)
		return 0;
	folder_remove(p->folder, p->map_path);
	base_closep(&p->map);
	p->map = -1;
	name_it(p, false);
	if (renameat(p->folder->fd, was, p->folder->fd, p->path) < 0)
		return err_sys(e, "rename %s/%s", p->folder->path, was);
	return 0;
}
