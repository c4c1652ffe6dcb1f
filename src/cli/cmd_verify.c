#include "base/limits.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/term.h"

/* The answer: a line of JSON a file, the last one is the sum. */
struct verifying {
	struct buf line;
	int64_t files, bytes, bad; /* -1: no sum yet */
};

static int take_line(struct verifying *v, struct str text, struct err *e)
{
	auto_json *line = NULL;
	struct str problem = { 0 }, digest = { 0 };
	if (json_parse(text, &line, e) ||
	    json_get_str(line, "problem", &problem, e) ||
	    json_get_str(line, "digest", &digest, e))
		return -1;
	if (problem.n)
		term_printf("%.*s: %.*s\n", STR_ARG(digest), STR_ARG(problem));
	if (digest.n)
		return 0;
	return json_get_int(line, "files", 0, INT64_MAX, &v->files, e) ||
			       json_get_int(line, "bytes", 0, INT64_MAX,
					    &v->bytes, e) ||
			       json_get_int(line, "bad", 0, INT64_MAX, &v->bad,
					    e)
		       ? -1
		       : 0;
}

static int take(void *ctx, struct str piece, struct err *e)
{
	struct verifying *v = ctx;
	if (buf_put(&v->line, piece.p, piece.n))
		return err_set(e, ERR_INVALID,
			       "the server sent a line that is too long");
	for (;;) {
		struct str all = buf_str(&v->line);
		ptrdiff_t end = str_find(all, '\n');
		if (end < 0)
			return 0;
		if (take_line(v, str_head(all, (size_t)end), e))
			return -1;
		buf_drop(&v->line, (size_t)end + 1);
	}
}

int cmd_verify(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	struct verifying v = { .bad = -1 };
	char size[HUMAN_BYTES];
	(void)in;
	if (call_open(&c, e))
		return -1;
	buf_init(&v.line, LIMIT_SMALL_BODY_BYTES);
	int failed =
		call_stream(c,
			    &(struct call_request){ .method = "POST",
						    .path = "/models/verify" },
			    take, &v, e);
	buf_fini(&v.line);
	if (failed)
		return -1;
	if (v.bad < 0)
		return err_set(e, ERR_INVALID,
			       "the server stopped before it had read all");
	human_size((double)v.bytes, size);
	term_printf("%lld file(s), %s read\n", (long long)v.files, size);
	if (v.bad)
		return err_set(e, ERR_CORRUPT,
			       "%lld file(s) are damaged; pull or package "
			       "their models again",
			       (long long)v.bad);
	return 0;
}
