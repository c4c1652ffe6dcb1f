#include "model/archive.h"
#include "model/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A run of bytes of the tar: from memory, or from a file. */
struct piece {
	const char *p;	  /* NULL: from the file */
	const char *path; /* of the file */
	uint64_t n;
};

struct archive {
	struct arena arena; /* owns what is made here */
	struct piece *pieces;
	size_t n_pieces;
	size_t piece; /* the one to be read */
	uint64_t at;  /* in it */
	int fd;	      /* owned; of its file, or -1 */
	uint64_t bytes;
};

static void put_piece(struct archive *a, struct piece piece)
{
	a->pieces[a->n_pieces++] = piece;
	a->bytes += piece.n;
}

static void put_header(struct archive *a, const char *name, unsigned mode,
		       uint64_t bytes)
{
	char *block = arena_alloc(&a->arena, TAR_BLOCK_BYTES);
	tar_header(block, name, mode, bytes);
	put_piece(a, (struct piece){ .p = block, .n = TAR_BLOCK_BYTES });
}

static void put_file(struct archive *a, const char *name, struct piece contents)
{
	static const char zeros[TAR_BLOCK_BYTES];
	size_t padding = (size_t)(-contents.n % TAR_BLOCK_BYTES);
	put_header(a, name, 0666, contents.n);
	put_piece(a, contents);
	put_piece(a, (struct piece){ .p = zeros, .n = padding });
}

static void put_blob(struct archive *a, const struct digest *d,
		     struct piece contents)
{
	char name[100];
	snprintf(name, sizeof name, "blobs/sha256/%s", d->hex);
	put_file(a, name, contents);
}

static struct piece text_piece(struct str text)
{
	return (struct piece){ .p = text.p, .n = text.n };
}

/* The manifest is a blob too, and the index names it (OCI image layout 1.0). */
static void put_layout(struct archive *a, struct str manifest)
{
	struct digest id = digest_of(manifest);
	put_blob(a, &id, text_piece(manifest));
	put_file(a, "oci-layout",
		 text_piece(STR("{\"imageLayoutVersion\":\"1.0.0\"}")));
	put_file(a, "index.json",
		 text_piece(str_of(arena_printf(
			 &a->arena,
			 "{\"schemaVersion\":2,\"mediaType\":\"application/"
			 "vnd.oci.image.index.v1+json\",\"manifests\":[{"
			 "\"mediaType\":\"" MANIFEST_MEDIA_TYPE
			 "\",\"size\":%zu,\"digest\":\"sha256:%s\"}]}",
			 manifest.n, id.hex))));
}

struct archive *archive_new(enum archive_form form,
			    const struct archive_contents *c)
{
	static const char end[2 * TAR_BLOCK_BYTES];
	const struct manifest *m = c->m;
	struct archive *a = xcalloc(1, sizeof *a);
	a->fd = -1;
	arena_init(&a->arena);
	/* Three pieces a file, of which there are four beside the layers; two
	 * folders and the end. */
	a->pieces = arena_alloc(&a->arena,
				(3 * m->n_layers + 15) * sizeof *a->pieces);
	put_header(a, "blobs/", 0755, 0);
	put_header(a, "blobs/sha256/", 0755, 0);
	for (size_t i = 0; i < m->n_layers; i++)
		if (c->paths[i])
			put_blob(a, &m->layers[i].digest,
				 (struct piece){ .path = c->paths[i],
						 .n = m->layers[i].bytes });
	put_blob(a, &m->config.digest, text_piece(c->config));
	if (form == ARCHIVE_OCI)
		put_layout(a, c->manifest);
	else
		put_file(a, "manifest.json", text_piece(c->manifest));
	put_piece(a, (struct piece){ .p = end, .n = sizeof end });
	return a;
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	base_closep(&a->fd);
	arena_fini(&a->arena);
	free(a);
}

uint64_t archive_bytes(const struct archive *a)
{
	return a->bytes;
}

static int read_piece(struct archive *a, char *out, size_t cap, size_t *n,
		      struct err *e)
{
	const struct piece *piece = &a->pieces[a->piece];
	size_t want = (size_t)MIN(cap, piece->n - a->at);
	ssize_t got;
	if (piece->p) {
		memcpy(out, piece->p + a->at, want);
		*n = want;
		return 0;
	}
	if (a->fd < 0)
		a->fd = open(piece->path, O_RDONLY | O_CLOEXEC);
	if (a->fd < 0)
		return err_sys(e, "open %s", piece->path);
	do
		got = read(a->fd, out, want);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(e, "read %s", piece->path);
	if (got == 0 && want)
		return err_set(e, ERR_CONFLICT,
			       "%s became shorter while it was read",
			       piece->path);
	*n = (size_t)got;
	return 0;
}

int archive_read(struct archive *a, void *buf, size_t cap, size_t *n,
		 struct err *e)
{
	char *out = buf;
	*n = 0;
	while (*n < cap && a->piece < a->n_pieces) {
		size_t got = 0;
		if (read_piece(a, out + *n, cap - *n, &got, e))
			return -1;
		*n += got;
		a->at += got;
		if (a->at < a->pieces[a->piece].n)
			continue;
		base_closep(&a->fd);
		a->fd = -1;
		a->at = 0;
		a->piece++;
	}
	return 0;
}
