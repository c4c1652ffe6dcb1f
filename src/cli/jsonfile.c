#include "cli/jsonfile.h"
#include "base/buf.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_text(const char *path, struct buf *out, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? JSONFILE_ABSENT
				       : err_sys(e, "read %s", path);
	int got = buf_read(out, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_TOO_LARGE, "%s is larger than %u bytes",
			       path, LIMIT_CONFIG_FILE_BYTES);
	return got ? err_sys(e, "read %s", path) : 0;
}

int jsonfile_read(const char *path, json_t **out, struct err *e)
{
	auto_buf struct buf text;
	auto_json *value = NULL;
	buf_init(&text, LIMIT_CONFIG_FILE_BYTES);
	int got = read_text(path, &text, e);
	if (got < 0)
		return -1;
	if (got == JSONFILE_ABSENT) {
		*out = json_object();
		return got;
	}
	if (json_parse(buf_str(&text), &value, e))
		return err_wrap(e, "%s", path);
	if (!json_is_object(value))
		return err_set(e, ERR_CORRUPT,
			       "%s: it must be a JSON object, {...}", path);
	*out = steal(&value);
	return 0;
}

char *jsonfile_text(const json_t *value)
{
	auto_free char *text = json_dumps(value, JSON_INDENT(4));
	return xasprintf("%s\n", text ? text : "{}");
}

static int make_folder_of(const char *path, struct err *e)
{
	auto_free char *folder = xstrdup(path);
	for (char *p = folder + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "make the folder %s", folder);
	}
	return 0;
}

static int fill(int fd, const char *text, const struct stat *old, struct err *e)
{
	size_t n = strlen(text);
	if (fchmod(fd, old->st_mode & 0777) ||
	    (old->st_nlink && fchown(fd, old->st_uid, old->st_gid)))
		return err_sys(e, "keep the owner and mode");
	while (n) {
		ssize_t done = write(fd, text, n);
		if (done < 0)
			return err_sys(e, "write");
		text += done;
		n -= (size_t)done;
	}
	return fsync(fd) ? err_sys(e, "write") : 0;
}

/* Fills a file beside it, and gives that its name. */
static int replace(const char *path, const char *text, struct err *e)
{
	struct stat old = { .st_mode = 0644 };
	auto_free char *fresh = xasprintf("%s.XXXXXX", path);
	if (stat(path, &old) < 0 && errno != ENOENT)
		return err_sys(e, "look at it");
	auto_close int fd = mkostemp(fresh, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "make a file beside it");
	if (fill(fd, text, &old, e) == 0) {
		if (rename(fresh, path) == 0)
			return 0;
		err_sys(e, "rename %s", fresh);
	}
	unlink(fresh);
	return -1;
}

int jsonfile_write(const char *path, const json_t *value, struct err *e)
{
	auto_free char *text = jsonfile_text(value);
	/* A link stays one: what it points to is replaced. */
	auto_free char *real = realpath(path, NULL);
	if (!real && make_folder_of(path, e))
		return -1;
	if (replace(real ? real : path, text, e)) {
		if (e->code == ERR_SYSTEM &&
		    (errno == EACCES || errno == EPERM || errno == EROFS))
			e->code = ERR_FORBIDDEN;
		return err_wrap(e, "change %s", path);
	}
	return 0;
}
