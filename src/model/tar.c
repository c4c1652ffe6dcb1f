#include "model/tar.h"
#include "base/limits.h"

#include <assert.h>
#include <stdio.h>

enum state { S_HEADER, S_EXTENDED, S_DATA, S_PADDING, S_END };

/* The header block of an entry, as POSIX has it. */
struct block {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char owner[32];
	char group[32];
	char device[16];
	char prefix[155];
	char unused[12];
};
_Static_assert(sizeof(struct block) == TAR_BLOCK_BYTES, "a tar block");

struct tar {
	enum state state;
	struct block block;
	size_t block_n;	 /* bytes of it that came */
	unsigned n_zero; /* blocks of zeros in a row */
	uint64_t left;	 /* of the contents */
	size_t padding;	 /* after them */
	char extended;	 /* the type whose contents are collected, or 0 */
	struct buf text; /* these contents */
	struct buf name; /* of the next entry, from an extended header */
	bool has_size;	 /* the same for its size */
	uint64_t size;
	char plain_name[260];
	struct tar_entry entry;
};

struct tar *tar_new(void)
{
	struct tar *t = xcalloc(1, sizeof *t);
	buf_init(&t->text, LIMIT_TAR_HEADER_BYTES);
	buf_init(&t->name, LIMIT_TAR_HEADER_BYTES);
	return t;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	buf_fini(&t->text);
	buf_fini(&t->name);
	free(t);
}

const struct tar_entry *tar_entry(const struct tar *t)
{
	return &t->entry;
}

bool tar_is_whole(const struct tar *t)
{
	return t->state == S_END || (t->state == S_HEADER && t->block_n == 0 &&
				     !t->name.n && !t->has_size);
}

/* ---- numbers and names ---- */

static int invalid(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, "not a valid tar archive: %s", what);
}

/* Octal digits between spaces, or, when the top bit is set, base 256. */
static bool parse_number(const char *p, size_t n, uint64_t *out)
{
	const unsigned char *u = (const unsigned char *)p;
	*out = 0;
	if (u[0] & 0x80) {
		for (size_t i = 0; i < n; i++) {
			unsigned digit = i ? u[i] : u[i] & 0x7f;
			if (*out >> 55)
				return false;
			*out = *out << 8 | digit;
		}
		return true;
	}
	size_t i = 0, digits = 0;
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++, digits++)
		*out = *out << 3 | (uint64_t)(p[i] - '0');
	while (i < n && (p[i] == ' ' || p[i] == '\0'))
		i++;
	return i == n && (digits || u[0] == '\0');
}

static unsigned checksum(const struct block *b)
{
	const unsigned char *u = (const unsigned char *)b;
	const size_t from = offsetof(struct block, checksum);
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof *b; i++)
		sum += i - from < sizeof b->checksum ? ' ' : u[i];
	return sum;
}

static bool is_zero(const struct block *b)
{
	static const struct block zero;
	return memcmp(b, &zero, sizeof zero) == 0;
}

static void set_plain_name(struct tar *t)
{
	const struct block *b = &t->block;
	bool has_prefix = memcmp(b->magic, "ustar", 6) == 0 && b->prefix[0];
	snprintf(t->plain_name, sizeof t->plain_name, "%.*s%s%.*s",
		 has_prefix ? (int)sizeof b->prefix : 0, b->prefix,
		 has_prefix ? "/" : "", (int)sizeof b->name, b->name);
}

/* ---- extended headers ---- */

/* "25 path=some/long/name\n", many of them. */
static int read_pax(struct tar *t, struct err *e)
{
	struct str rest = buf_str(&t->text);
	while (rest.n) {
		ptrdiff_t space = str_find(rest, ' ');
		uint64_t n;
		if (space < 0 ||
		    !str_to_u64(str_head(rest, (size_t)space), &n) ||
		    n > rest.n || n < (uint64_t)space + 2 ||
		    rest.p[n - 1] != '\n')
			return invalid(e, "a wrong pax record");
		struct str record = str_head(rest, n - 1);
		struct str value = str_tail(record, (size_t)space + 1);
		struct str key;
		rest = str_tail(rest, n);
		str_split(&value, '=', &key);
		if (!value.p)
			return invalid(e, "a pax record without a value");
		if (str_starts(key, "GNU.sparse."))
			return invalid(e, "sparse files are not supported");
		if (str_eq(key, "size")) {
			if (!str_to_u64(value, &t->size))
				return invalid(e, "a wrong pax size");
			t->has_size = true;
		} else if (str_eq(key, "path")) {
			buf_clear(&t->name);
			if (str_find(value, '\0') >= 0 ||
			    buf_put(&t->name, value.p, value.n))
				return invalid(e, "a wrong pax path");
		}
	}
	return 0;
}

static int end_extended(struct tar *t, struct err *e)
{
	char type = t->extended;
	t->extended = 0;
	if (type == 'x')
		return read_pax(t, e);
	if (type == 'L') {
		buf_clear(&t->name);
		if (buf_puts(&t->name, t->text.n ? t->text.p : ""))
			return invalid(e, "a name is too long");
	}
	return 0; /* 'g' and 'K': nothing that matters here */
}

/* ---- headers ---- */

static void begin_contents(struct tar *t, enum state state, uint64_t bytes)
{
	t->left = bytes;
	t->padding = (size_t)(-bytes % TAR_BLOCK_BYTES);
	t->state = state;
}

static int begin_entry(struct tar *t, uint64_t bytes, struct err *e)
{
	char type = t->block.type;
	bool is_file = type == '0' || type == '\0' || type == '7';
	if (t->has_size)
		bytes = t->size;
	if (!is_file && (type < '1' || type > '6'))
		return invalid(e, "an entry of unknown type");
	if (!is_file && bytes)
		return invalid(e, "a link or folder with contents");
	set_plain_name(t);
	const char *name = t->name.n ? t->name.p : t->plain_name;
	/* Before POSIX a folder was a file whose name ends so. */
	is_file = is_file && !str_ends(str_of(name), "/");
	t->entry = (struct tar_entry){ name, bytes, is_file };
	begin_contents(t, S_DATA, bytes);
	return TAR_ENTRY;
}

/* Forgets what was for the entry that is over. */
static void end_entry(struct tar *t)
{
	buf_clear(&t->name);
	t->has_size = false;
}

static int read_header(struct tar *t, struct err *e)
{
	uint64_t sum, bytes;
	const struct block *b = &t->block;
	t->block_n = 0;
	if (is_zero(b)) {
		if (++t->n_zero == 2)
			t->state = S_END;
		return 0;
	}
	if (t->n_zero)
		return invalid(e, "an entry after the end");
	if (!parse_number(b->checksum, sizeof b->checksum, &sum) ||
	    sum != checksum(b))
		return invalid(e, "a header's checksum is wrong");
	if (!parse_number(b->size, sizeof b->size, &bytes))
		return invalid(e, "a size is wrong");
	if (!b->type || !strchr("xgLK", b->type))
		return begin_entry(t, bytes, e);
	if (bytes > LIMIT_TAR_HEADER_BYTES)
		return invalid(e, "an extended header is too long");
	t->extended = b->type;
	buf_clear(&t->text);
	begin_contents(t, S_EXTENDED, bytes);
	return 0;
}

/* ---- the states ---- */

static struct str cut(struct str *in, uint64_t n)
{
	struct str piece = str_head(*in, (size_t)MIN(n, in->n));
	*in = str_tail(*in, piece.n);
	return piece;
}

static int collect_header(struct tar *t, struct str *in, struct err *e)
{
	struct str piece = cut(in, sizeof t->block - t->block_n);
	memcpy((char *)&t->block + t->block_n, piece.p, piece.n);
	t->block_n += piece.n;
	return t->block_n == sizeof t->block ? read_header(t, e) : 0;
}

static int collect_extended(struct tar *t, struct str *in, struct err *e)
{
	struct str piece = cut(in, t->left);
	t->left -= piece.n;
	if (buf_put(&t->text, piece.p, piece.n))
		return invalid(e, "an extended header is too long");
	if (t->left)
		return 0;
	t->state = S_PADDING;
	return end_extended(t, e);
}

static int step(struct tar *t, struct str *in, struct str *data, struct err *e)
{
	switch (t->state) {
	case S_HEADER:
		return collect_header(t, in, e);
	case S_EXTENDED:
		return collect_extended(t, in, e);
	case S_DATA:
		if (t->left) {
			*data = cut(in, t->left);
			t->left -= data->n;
			return TAR_DATA;
		}
		end_entry(t);
		t->state = S_PADDING;
		return 0;
	case S_PADDING:
		t->padding -= cut(in, t->padding).n;
		if (!t->padding)
			t->state = S_HEADER;
		return 0;
	case S_END:
		*in = str_tail(*in, in->n);
		return TAR_END;
	}
	return 0;
}

/* Can the state be left without another byte? */
static bool is_free(const struct tar *t)
{
	switch (t->state) {
	case S_HEADER:
		return false;
	case S_EXTENDED:
	case S_DATA:
		return t->left == 0;
	case S_PADDING:
		return t->padding == 0;
	case S_END:
		return true;
	}
	return false;
}

int tar_next(struct tar *t, struct str *in, struct str *data, struct err *e)
{
	while (in->n || is_free(t)) {
		int outcome = step(t, in, data, e);
		if (outcome)
			return outcome;
	}
	return TAR_MORE;
}

/* ---- writing ---- */

void tar_header(char out[TAR_BLOCK_BYTES], const char *name, unsigned mode,
		uint64_t bytes)
{
	struct block b = { .magic = "ustar", .version = { '0', '0' } };
	size_t n = strlen(name);
	assert(n > 0 && n < sizeof b.name);
	memcpy(b.name, name, n);
	b.type = name[n - 1] == '/' ? '5' : '0';
	snprintf(b.mode, sizeof b.mode, "%07o", mode);
	snprintf(b.uid, sizeof b.uid, "%07o", 0);
	snprintf(b.gid, sizeof b.gid, "%07o", 0);
	snprintf(b.mtime, sizeof b.mtime, "%011o", 0);
	if (bytes >> 33 == 0) {
		snprintf(b.size, sizeof b.size, "%011llo",
			 (unsigned long long)bytes);
	} else {
		/* More than eleven octal digits: base 256. */
		b.size[0] = (char)0x80;
		for (size_t i = 0; i < 8; i++)
			b.size[sizeof b.size - 1 - i] =
				(char)(bytes >> (8 * i));
	}
	snprintf(b.checksum, sizeof b.checksum, "%06o", checksum(&b));
	b.checksum[7] = ' ';
	memcpy(out, &b, sizeof b);
}
