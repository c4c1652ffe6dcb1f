#include "cli/commands.h"
#include "cli/modelname.h"
#include "cli/progress.h"
#include "cli/tagging.h"
#include "cli/term.h"
#include "model/package.h"

/* The tar on its way to the server. */
struct transfer {
	struct package *package; /* borrowed */
	struct progress progress;
};

static int next_piece(void *ctx, void *buf, size_t cap, size_t *n,
		      struct err *e)
{
	struct transfer *t = ctx;
	if (package_tar_read(t->package, buf, cap, n, e))
		return -1;
	progress_add(&t->progress, *n);
	return 0;
}

static int load(struct call *c, struct package *p, struct err *e)
{
	uint64_t bytes = package_tar_bytes(p);
	struct transfer t = { .package = p };
	progress_init(&t.progress, bytes);
	int failed = call_stream(
		c,
		&(struct call_request){ .method = "POST",
					.path = "/models/load",
					.source = next_piece,
					.source_ctx = &t,
					.source_bytes = bytes,
					.source_type = "application/x-tar" },
		progress_feed, &t.progress, e);
	progress_clear(&t.progress);
	progress_fini(&t.progress);
	return failed;
}

/* Reads what was typed; *licences is the caller's, its strings are argv's. */
static int read_options(const struct cmd_line *in, const char ***licences,
			struct package_options *out, struct err *e)
{
	const char *context = cmd_text(in, "context-size");
	const char *licence;
	*out = (struct package_options){
		.gguf = cmd_text(in, "gguf"),
		.chat_template = cmd_text(in, "chat-template"),
		.mmproj = cmd_text(in, "mmproj"),
		.context_size = context ? strtoll(context, NULL, 10) : 0,
	};
	*licences = xcalloc(in->n_given, sizeof **licences);
	while ((licence = cmd_nth(in, "license", out->n_licences)))
		(*licences)[out->n_licences++] = licence;
	out->licences = *licences;
	if (!out->gguf)
		return err_set(e, ERR_USAGE,
			       "give the model's file with --gguf PATH; see "
			       "'docker model package --help'");
	if (context && (out->context_size < 1 || out->context_size > INT32_MAX))
		return err_set(e, ERR_USAGE,
			       "--context-size must be from 1 to %d, not %s",
			       INT32_MAX, context);
	return 0;
}

static int package(const struct cmd_line *in, const struct package_options *o,
		   struct err *e)
{
	auto_(call) c = NULL;
	auto_(package) p = NULL;
	auto_json *version = NULL;
	struct ref name;
	char id[DIGEST_TEXT_BYTES];
	/* Whether the server is there is asked before a long file is read. */
	if (modelname_parse(in->args[0], &name, e) || call_open(&c, e) ||
	    call_json(c, "GET", "/version", STR(""), &version, e))
		return -1;
	if (term_is_tty())
		term_printf("Reading %s\n", o->gguf);
	term_flush();
	if (package_new(o, &p, e) || load(c, p, e) ||
	    tagging_tag(c, digest_text(package_id(p), id), &name, e))
		return err_wrap(e, "package %s", in->args[0]);
	term_printf("Model loaded successfully\n");
	return 0;
}

int cmd_package(const struct cmd_line *in, struct err *e)
{
	auto_free const char **licences = NULL;
	struct package_options options;
	if (read_options(in, &licences, &options, e))
		return -1;
	return package(in, &options, e);
}
