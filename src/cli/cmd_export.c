#include "cli/call.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct exporting {
	const char *path;
	int fd;
	struct progress progress;
};

static int write_piece(void *ctx, struct str piece, struct err *e)
{
	struct exporting *x = ctx;
	progress_add(&x->progress, piece.n);
	while (piece.n) {
		ssize_t n = write(x->fd, piece.p, piece.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write %s", x->path);
		piece = str_tail(piece, (size_t)n);
	}
	return 0;
}

static int fetch(struct call *c, const char *url, struct exporting *x,
		 struct err *e)
{
	progress_init(&x->progress, 0);
	int failed = call_stream(
		c, &(struct call_request){ .method = "GET", .path = url },
		write_piece, x, e);
	progress_clear(&x->progress);
	progress_fini(&x->progress);
	return failed;
}

/* A device or a pipe stays what it is. */
static int export_into(struct call *c, const char *url, const char *path,
		       struct err *e)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct exporting x = { .path = path, .fd = fd };
	if (fd < 0)
		return err_sys(e, "open %s", path);
	return fetch(c, url, &x, e);
}

static bool is_special(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISDIR(st.st_mode);
}

/* The file has its name only when it is whole. */
static int export_to(struct call *c, const char *url, const char *path,
		     struct err *e)
{
	auto_free char *temp = xasprintf("%s.tmp-%d", path, (int)getpid());
	auto_close int fd =
		open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct exporting x = { .path = path, .fd = fd };
	if (fd < 0)
		return err_sys(e, "create %s", temp);
	int failed = fetch(c, url, &x, e);
	if (!failed && fsync(fd) < 0)
		failed = err_sys(e, "write %s", path);
	if (!failed && rename(temp, path) < 0)
		failed = err_sys(e, "create %s", path);
	if (failed)
		unlink(temp);
	return failed;
}

static int export_to_stdout(struct call *c, const char *url, struct err *e)
{
	struct exporting x = { .path = "to stdout", .fd = STDOUT_FILENO };
	progress_init(&x.progress, 0);
	x.progress.is_tty = false;
	int failed = call_stream(
		c, &(struct call_request){ .method = "GET", .path = url },
		write_piece, &x, e);
	progress_fini(&x.progress);
	return failed;
}

int cmd_export(const struct cmd_line *in, struct err *e)
{
	const char *path = cmd_text(in, "output");
	const char *format = cmd_text(in, "format");
	auto_free char *name = call_escape(in->args[0]);
	auto_free char *wanted = call_escape(format ? format : "docker");
	auto_free char *url =
		xasprintf("/models/%s/export?format=%s", name, wanted);
	auto_(call) c = NULL;
	if (!path && term_is_tty())
		return err_set(e, ERR_USAGE,
			       "a terminal cannot show an archive; give a "
			       "file with -o, or redirect the output");
	if (call_open(&c, e))
		return -1;
	if (!path)
		return export_to_stdout(c, url, e);
	return is_special(path) ? export_into(c, url, path, e)
				: export_to(c, url, path, e);
}
