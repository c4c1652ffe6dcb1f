#include "base/json.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/modelname.h"
#include "cli/progress.h"
#include "cli/tagging.h"
#include "cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct loading {
	const char *path;
	int fd;
	struct progress progress;
	struct buf answer;
};

static int next_piece(void *ctx, void *buf, size_t cap, size_t *n,
		      struct err *e)
{
	struct loading *l = ctx;
	ssize_t got;
	do
		got = read(l->fd, buf, cap);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(e, "read %s", l->path);
	*n = (size_t)got;
	progress_add(&l->progress, *n);
	return 0;
}

static int keep(void *ctx, struct str piece, struct err *e)
{
	struct loading *l = ctx;
	if (buf_put(&l->answer, piece.p, piece.n) == 0)
		return 0;
	return err_set(e, ERR_INVALID, "the server's answer is too long");
}

static int send(struct call *c, struct loading *l, struct err *e)
{
	struct stat st;
	if (fstat(l->fd, &st) < 0)
		return err_sys(e, "read %s", l->path);
	/* A pipe does not say how much is coming. */
	uint64_t bytes =
		S_ISREG(st.st_mode) ? (uint64_t)st.st_size : CALL_UNKNOWN_BYTES;
	progress_init(&l->progress, bytes == CALL_UNKNOWN_BYTES ? 0 : bytes);
	int failed = call_stream(
		c,
		&(struct call_request){ .method = "POST",
					.path = "/models/load",
					.source = next_piece,
					.source_ctx = l,
					.source_bytes = bytes,
					.source_type = "application/x-tar" },
		keep, l, e);
	progress_clear(&l->progress);
	progress_fini(&l->progress);
	return failed;
}

/* The id, out of {"type":"success","layer":{"id":"sha256:..."}}. */
static int read_id(const struct buf *answer, struct digest *out, struct err *e)
{
	auto_json *all = NULL;
	struct str id = { 0 };
	if (json_parse(buf_str(answer), &all, e) ||
	    json_get_str(json_object_get(all, "layer"), "id", &id, e))
		return -1;
	return digest_parse(id, out, e);
}

int cmd_load(const struct cmd_line *in, struct err *e)
{
	const char *path = cmd_text(in, "input");
	auto_(call) c = NULL;
	auto_close int fd = -1;
	struct loading l = { .path = path ? path : "stdin" };
	struct digest id;
	struct ref name;
	char text[DIGEST_TEXT_BYTES];
	if (in->n_args && modelname_parse(in->args[0], &name, e))
		return -1;
	if (!path && isatty(STDIN_FILENO))
		return err_set(e, ERR_USAGE,
			       "give the archive with -i FILE, or send it to "
			       "stdin");
	fd = path ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (fd < 0)
		return err_sys(e, "open %s", l.path);
	l.fd = fd;
	buf_init(&l.answer, LIMIT_SMALL_BODY_BYTES);
	int failed = call_open(&c, e) || send(c, &l, e) ||
		     read_id(&l.answer, &id, e) ||
		     (in->n_args &&
		      tagging_tag(c, digest_text(&id, text), &name, e));
	buf_fini(&l.answer);
	if (failed)
		return err_wrap(e, "load %s", l.path);
	term_printf("Loaded model: %s\n",
		    in->n_args ? in->args[0] : digest_text(&id, text));
	return 0;
}
