#include "model/keyfile.h"
#include "base/buf.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The group of the service's account, which is not root's. */
#define READERS "modeld"
/* What a limit may be: enough for anybody, and far from overflowing. */
#define RATE_MAX 1000000000

static const struct {
	const char *name;
	unsigned bit;
} classes[] = { { "infer", KEYFILE_INFER },
		{ "manage", KEYFILE_MANAGE },
		{ "inspect", KEYFILE_INSPECT } };

void keyfile_key_fini(struct keyfile_key *k)
{
	for (char **m = k->models; m && *m; m++)
		free(*m);
	free(k->models);
	k->models = NULL;
}

void keyfile_fini(struct keyfile *f)
{
	for (size_t i = 0; i < f->n; i++)
		keyfile_key_fini(&f->keys[i]);
	free(f->keys);
	*f = (struct keyfile){ 0 };
}

/* ---- parts ---- */

int keyfile_check_name(const char *name, struct err *e)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = strlen(name);
	if (!n || n >= KEYFILE_NAME_BYTES || strspn(name, good) != n)
		return err_set(e, ERR_USAGE,
			       "'%.80s' is not a name for a key: 1 to %d "
			       "letters, digits, '.', '_' or '-'",
			       name, KEYFILE_NAME_BYTES - 1);
	return 0;
}

static int add_class(struct str name, unsigned *out, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (str_eq(name, classes[i].name)) {
			*out |= classes[i].bit;
			return 0;
		}
	return err_set(e, ERR_USAGE,
		       "'%.*s' is not a class: infer, manage or inspect",
		       STR_ARG(str_head(name, 40)));
}

int keyfile_parse_classes(struct str list, unsigned *out, struct err *e)
{
	struct str piece;
	*out = 0;
	while (str_split(&list, ',', &piece))
		if (add_class(str_trim(piece), out, e))
			return -1;
	return 0;
}

const char *keyfile_classes_text(unsigned set, char out[KEYFILE_CLASSES_BYTES])
{
	size_t at = 0;
	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (set & classes[i].bit)
			at += (size_t)snprintf(
				out + at, KEYFILE_CLASSES_BYTES - at, "%s%s",
				at ? "," : "", classes[i].name);
	return out;
}

static int add_model(char ***list, size_t *n, struct str pattern, struct err *e)
{
	bool is_clean = pattern.n > 0;
	for (size_t i = 0; i < pattern.n; i++)
		is_clean &= pattern.p[i] > ' ' && pattern.p[i] < 127;
	if (!is_clean || pattern.n > LIMIT_REFERENCE_BYTES)
		return err_set(e, ERR_USAGE,
			       "'%.*s' is not a model's name or pattern: ai/* "
			       "or ai/smollm2",
			       STR_ARG(str_head(pattern, 80)));
	if (*n == LIMIT_KEY_MODELS)
		return err_set(e, ERR_USAGE,
			       "a key may have %d models or patterns",
			       LIMIT_KEY_MODELS);
	*list = xrealloc(*list, (*n + 2) * sizeof **list);
	(*list)[(*n)++] = str_dup(pattern);
	(*list)[*n] = NULL;
	return 0;
}

int keyfile_parse_models(struct str list, char ***out, struct err *e)
{
	struct keyfile_key k = { 0 };
	struct str piece;
	size_t n = 0;
	while (str_split(&list, ',', &piece))
		if (add_model(&k.models, &n, str_trim(piece), e)) {
			keyfile_key_fini(&k);
			return -1;
		}
	*out = k.models;
	return 0;
}

/* Two digits at p as a number of at most max; -1: they are none. */
static int two(const char *p, int max)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return -1;
	int n = (p[0] - '0') * 10 + p[1] - '0';
	return n <= max ? n : -1;
}

/* "Z" or "+hh:mm" as seconds east. */
static bool read_zone(struct str s, int *east)
{
	*east = 0;
	if (str_eq(s, "Z") || str_eq(s, "z"))
		return true;
	if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':')
		return false;
	int h = two(s.p + 1, 23), m = two(s.p + 4, 59);
	*east = (h * 3600 + m * 60) * (s.p[0] == '-' ? -1 : 1);
	return h >= 0 && m >= 0;
}

static bool read_time(struct str s, int64_t *out)
{
	int east;
	if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' ||
	    (s.p[10] != 'T' && s.p[10] != 't') || s.p[13] != ':' ||
	    s.p[16] != ':')
		return false;
	int century = two(s.p, 99), year = two(s.p + 2, 99);
	struct tm tm = { .tm_mon = two(s.p + 5, 12) - 1,
			 .tm_mday = two(s.p + 8, 31),
			 .tm_hour = two(s.p + 11, 23),
			 .tm_min = two(s.p + 14, 59),
			 .tm_sec = two(s.p + 17, 59) };
	if (century < 0 || year < 0 || tm.tm_mon < 0 || tm.tm_mday < 1 ||
	    tm.tm_hour < 0 || tm.tm_min < 0 || tm.tm_sec < 0)
		return false;
	tm.tm_year = century * 100 + year - 1900;
	struct tm same = tm;
	int64_t t = timegm(&same);
	struct str rest = str_tail(s, 19);
	if (same.tm_mday != tm.tm_mday) /* 31 February */
		return false;
	if (rest.p[0] == '.') {
		size_t n = 1;
		while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
			n++;
		if (n == 1)
			return false;
		rest = str_tail(rest, n);
	}
	if (!read_zone(rest, &east))
		return false;
	*out = t - east;
	return true;
}

int keyfile_parse_time(struct str text, int64_t *out_s, struct err *e)
{
	if (read_time(text, out_s) && *out_s > 0)
		return 0;
	return err_set(e, ERR_USAGE,
		       "'%.*s' is not a time as 2027-01-31T18:00:00Z",
		       STR_ARG(str_head(text, 40)));
}

const char *keyfile_time_text(int64_t s, char out[KEYFILE_TIME_BYTES])
{
	struct tm tm;
	time_t t = (time_t)s;
	gmtime_r(&t, &tm);
	strftime(out, KEYFILE_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}

/* ---- reading ---- */

static int read_models(const json_t *list, struct keyfile_key *k, struct err *e)
{
	size_t i, n = 0;
	json_t *m;
	if (!json_array_size(list)) /* of another type, too */
		return err_set(e, ERR_USAGE,
			       "'models' must be a list of names or patterns; "
			       "without it the key may use every model");
	json_array_foreach(list, i, m)
	{
		if (!json_is_string(m))
			return err_set(e, ERR_USAGE,
				       "'models' must hold names");
		struct str s = json_str(m);
		if (add_model(&k->models, &n, s, e))
			return -1;
	}
	return 0;
}

static int read_classes(const json_t *list, struct keyfile_key *k,
			struct err *e)
{
	size_t i;
	json_t *c;
	if (!json_is_array(list))
		return err_set(e, ERR_USAGE,
			       "'classes' must be a list of infer, manage and "
			       "inspect");
	k->classes = 0;
	json_array_foreach(list, i, c)
	{
		const char *name = json_string_value(c);
		if (add_class(str_of(name ? name : ""), &k->classes, e))
			return -1;
	}
	return 0;
}

static int check_members(const json_t *obj, struct err *e)
{
	static const char *const known[] = {
		"name",
		"hash",
		"classes",
		"models",
		"expires",
		"requests_per_minute",
		"tokens_per_minute",
		"parallel",
	};
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)obj, name, value)
	{
		size_t i = 0;
		while (i < ARRAY_LEN(known) && strcmp(known[i], name))
			i++;
		if (i == ARRAY_LEN(known))
			return err_set(e, ERR_USAGE,
				       "there is no member '%.40s'", name);
		if (json_is_null(value))
			return err_set(e, ERR_USAGE, "'%s' must not be null",
				       name);
	}
	return 0;
}

static int read_rate(const json_t *obj, const char *name, uint64_t *out,
		     struct err *e)
{
	int64_t n = 0;
	if (json_get_int(obj, name, 1, RATE_MAX, &n, e))
		return -1;
	*out = (uint64_t)n;
	return 0;
}

static int read_fields(const json_t *obj, struct keyfile_key *k, struct err *e)
{
	struct str hash = { 0 }, expires = { 0 };
	const json_t *models = json_object_get(obj, "models");
	const json_t *list = json_object_get(obj, "classes");
	k->classes = KEYFILE_INFER;
	if (check_members(obj, e) || json_get_str(obj, "hash", &hash, e) ||
	    json_get_str(obj, "expires", &expires, e) ||
	    read_rate(obj, "requests_per_minute", &k->requests_per_minute, e) ||
	    read_rate(obj, "tokens_per_minute", &k->tokens_per_minute, e) ||
	    read_rate(obj, "parallel", &k->parallel, e))
		return -1;
	if (digest_parse(hash, &k->hash, e))
		return err_set(e, ERR_USAGE,
			       "'hash' must be \"sha256:\" and the 64 hex "
			       "digits of the key's SHA-256");
	if (expires.p && keyfile_parse_time(expires, &k->expires_s, e))
		return err_wrap(e, "'expires'");
	return (models && read_models(models, k, e)) ||
			       (list && read_classes(list, k, e))
		       ? -1
		       : 0;
}

static int read_key(const json_t *obj, struct keyfile_key *k, struct err *e)
{
	struct str name = { 0 };
	*k = (struct keyfile_key){ 0 };
	if (!json_is_object(obj))
		return err_set(e, ERR_USAGE, "'keys' must hold objects");
	if (json_get_str(obj, "name", &name, e))
		return -1;
	auto_free char *text = str_dup(name);
	if (keyfile_check_name(text, e))
		return err_wrap(e, "'name'");
	memcpy(k->name, text, strlen(text) + 1);
	if (read_fields(obj, k, e))
		return err_wrap(e, "key '%s'", k->name);
	return 0;
}

int keyfile_add(struct keyfile *f, struct keyfile_key *key, struct err *e)
{
	if (f->n == LIMIT_KEYS)
		return err_set(e, ERR_USAGE, "there may be %d keys",
			       LIMIT_KEYS);
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->keys[i].name, key->name) == 0)
			return err_set(e, ERR_USAGE,
				       "there is a key '%s' already",
				       key->name);
		if (digest_eq(&f->keys[i].hash, &key->hash))
			return err_set(e, ERR_USAGE,
				       "keys '%s' and '%s' are the same key",
				       f->keys[i].name, key->name);
	}
	f->keys = xrealloc(f->keys, (f->n + 1) * sizeof *f->keys);
	f->keys[f->n++] = *key;
	*key = (struct keyfile_key){ 0 };
	return 0;
}

bool keyfile_remove(struct keyfile *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->keys[i].name, name))
			continue;
		keyfile_key_fini(&f->keys[i]);
		f->n--;
		memmove(f->keys + i, f->keys + i + 1,
			(f->n - i) * sizeof *f->keys);
		return true;
	}
	return false;
}

int keyfile_parse(struct str text, struct keyfile *out, struct err *e)
{
	auto_json *file = NULL;
	size_t i;
	json_t *obj;
	*out = (struct keyfile){ 0 };
	if (json_parse(text, &file, e))
		return -1;
	const json_t *keys = json_object_get(file, "keys");
	if (!json_is_array(keys) || json_object_size(file) != 1)
		return err_set(e, ERR_USAGE,
			       "it must be an object with the one member "
			       "'keys', a list");
	json_array_foreach(keys, i, obj)
	{
		struct keyfile_key k;
		if (read_key(obj, &k, e) || keyfile_add(out, &k, e)) {
			keyfile_key_fini(&k);
			keyfile_fini(out);
			return -1;
		}
	}
	return 0;
}

static int read_all(int fd, const char *path, struct buf *text, struct err *e)
{
	int got = buf_read(text, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_USAGE, "%s is larger than %u bytes", path,
			       LIMIT_KEY_FILE_BYTES);
	return got ? err_sys(e, "read %s", path) : 0;
}

static int check_file(int fd, const char *path, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st))
		return err_sys(e, "read %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "%s is not a regular file", path);
	if (st.st_mode & (S_IROTH | S_IWOTH))
		return err_set(e, ERR_USAGE,
			       "%s can be read or written by everybody (mode "
			       "%03o); run: chmod o-rwx %s",
			       path, (unsigned)st.st_mode & 0777u, path);
	return 0;
}

int keyfile_read(const char *path, struct keyfile *out, struct err *e)
{
	*out = (struct keyfile){ 0 };
	auto_buf struct buf text;
	buf_init(&text, LIMIT_KEY_FILE_BYTES);
	/* A FIFO must not hang us. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? KEYFILE_ABSENT
				       : err_sys(e, "read %s", path);
	if (check_file(fd, path, e) || read_all(fd, path, &text, e))
		return -1;
	if (keyfile_parse(buf_str(&text), out, e)) {
		e->code = ERR_USAGE;
		return err_wrap(e, "%s", path);
	}
	return 0;
}

/* ---- writing ---- */

static json_t *list_of(char **texts)
{
	json_t *list = json_array();
	for (char **t = texts; t && *t; t++)
		json_array_append_new(list, json_string(*t));
	return list;
}

static void put_rate(json_t *obj, const char *name, uint64_t n)
{
	if (n)
		json_object_set_new(obj, name, json_integer((json_int_t)n));
}

static json_t *key_json(const struct keyfile_key *k)
{
	char hash[DIGEST_TEXT_BYTES], expires[KEYFILE_TIME_BYTES];
	json_t *obj = json_pack("{s:s, s:s}", "name", k->name, "hash",
				digest_text(&k->hash, hash));
	json_t *list = json_array();
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (k->classes & classes[i].bit)
			json_array_append_new(list,
					      json_string(classes[i].name));
	json_object_set_new(obj, "classes", list);
	if (k->models)
		json_object_set_new(obj, "models", list_of(k->models));
	if (k->expires_s)
		json_object_set_new(
			obj, "expires",
			json_string(keyfile_time_text(k->expires_s, expires)));
	put_rate(obj, "requests_per_minute", k->requests_per_minute);
	put_rate(obj, "tokens_per_minute", k->tokens_per_minute);
	put_rate(obj, "parallel", k->parallel);
	return obj;
}

/* One key a line, so that people can compare two files. */
static int print(const struct keyfile *f, struct buf *out)
{
	int full = buf_puts(out, "{\"keys\": [");
	for (size_t i = 0; i < f->n && !full; i++) {
		auto_json *obj = key_json(&f->keys[i]);
		auto_free char *text = json_text(obj);
		full = buf_printf(out, "%s\n  %s", i ? "," : "", text);
	}
	return full || buf_puts(out, "\n]}\n");
}

/* Everything of the file that will take the old one's place: owner and mode are
 * right before there is anything in it. */
static int fill(int fd, int folder, const char *path, struct str text,
		struct err *e)
{
	struct stat st;
	mode_t mode = 0600;
	const struct group *readers = NULL;
	if (stat(path, &st) == 0)
		mode = st.st_mode & 0660;
	else if (fstat(folder, &st))
		return err_sys(e, "write %s", path);
	else if (geteuid() == 0 && (readers = getgrnam(READERS)))
		mode = 0640;
	if (readers)
		st.st_gid = readers->gr_gid;
	if (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid))
		return err_sys(e, "write %s", path);
	if (fchmod(fd, mode) || write(fd, text.p, text.n) != (ssize_t)text.n ||
	    fsync(fd))
		return err_sys(e, "write %s", path);
	return 0;
}

static int replace(int folder, const char *path, const struct keyfile *f,
		   struct err *e)
{
	auto_free char *temp = xasprintf("%s.new", path);
	auto_buf struct buf text;
	buf_init(&text, LIMIT_KEY_FILE_BYTES);
	if (print(f, &text))
		return err_set(e, ERR_USAGE, "%s would be larger than %u bytes",
			       path, LIMIT_KEY_FILE_BYTES);
	/* The lock is ours: what is left there is a crash's. */
	unlink(temp);
	auto_close int fd =
		open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "write %s", temp);
	if (fill(fd, folder, path, buf_str(&text), e) == 0) {
		if (rename(temp, path) == 0)
			return fsync(folder) ? err_sys(e, "write %s", path) : 0;
		err_sys(e, "write %s", path);
	}
	unlink(temp);
	return -1;
}

int keyfile_change(const char *path,
		   int (*fn)(void *ctx, struct keyfile *f, struct err *e),
		   void *ctx, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash ? xstrndup(path, (size_t)(slash - path) + 1)
				    : xstrdup(".");
	struct keyfile f;
	auto_close int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return err_sys(e, "open %s", dir);
	/* The folder is locked, since the file is another one after each
	 * change. */
	if (flock(folder, LOCK_EX))
		return err_sys(e, "lock %s", dir);
	int got = keyfile_read(path, &f, e);
	if (got >= 0)
		got = fn(ctx, &f, e) ? -1 : replace(folder, path, &f, e);
	keyfile_fini(&f);
	return got;
}

int keyfile_make_key(char out[KEYFILE_KEY_BYTES], struct err *e)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789-_";
	unsigned char random[33] = { 0 }; /* the last byte only fills up */
	char *at = out + strlen(KEYFILE_PREFIX);
	if (getrandom(random, 32, 0) != 32)
		return err_sys(e, "get random bytes");
	memcpy(out, KEYFILE_PREFIX, strlen(KEYFILE_PREFIX));
	for (size_t i = 0; i < sizeof random; i += 3) {
		unsigned v = (unsigned)random[i] << 16 |
			     (unsigned)random[i + 1] << 8 | random[i + 2];
		for (int shift = 18; shift >= 0; shift -= 6)
			*at++ = digits[v >> shift & 63];
	}
	out[strlen(KEYFILE_PREFIX) + 43] = '\0'; /* 43 digits hold 256 bits */
	return 0;
}
