#include "base/limits.h"
#include "cli/basis.h"
#include "cli/commands.h"
#include "cli/modelname.h"
#include "cli/progress.h"
#include "cli/pushing.h"
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

/* ---- what was typed ---- */

static int read_source(const struct cmd_line *in, struct package_options *out,
		       struct err *e)
{
	const char *from = cmd_text(in, "from");
	out->gguf = cmd_text(in, "gguf");
	out->folder = cmd_text(in, "safetensors-dir");
	out->dduf = cmd_text(in, "dduf");
	if (!!out->gguf + !!out->folder + !!out->dduf + !!from == 1)
		return 0;
	return err_set(e, ERR_USAGE,
		       "give one of --gguf PATH, --safetensors-dir DIR, --dduf "
		       "PATH and --from MODEL; see 'docker model package "
		       "--help'");
}

static int read_form(const struct cmd_line *in, struct package_options *out,
		     struct err *e)
{
	const char *form = cmd_text(in, "format");
	if (form && strcmp(form, "docker") == 0)
		out->form = VARIANT_DOCKER;
	else if (form && strcmp(form, "cncf") == 0)
		out->form = VARIANT_CNCF;
	else if (form)
		return err_set(e, ERR_USAGE,
			       "--format must be docker or cncf, not %s", form);
	if (out->form == VARIANT_CNCF && out->context_size)
		return err_set(e, ERR_USAGE,
			       "CNCF's form has no place for --context-size; "
			       "leave that out, or --format cncf");
	return 0;
}

/* *licences is the caller's, its strings are argv's. */
static int read_options(const struct cmd_line *in, const char ***licences,
			struct package_options *out, struct err *e)
{
	const char *context = cmd_text(in, "context-size");
	const char *licence;
	*out = (struct package_options){
		.chat_template = cmd_text(in, "chat-template"),
		.mmproj = cmd_text(in, "mmproj"),
		.context_size = context ? strtoll(context, NULL, 10) : 0,
	};
	*licences = xcalloc(in->n_given, sizeof **licences);
	while ((licence = cmd_nth(in, "license", out->n_licences)))
		(*licences)[out->n_licences++] = licence;
	out->licences = *licences;
	if (context &&
	    (out->context_size < 1 || out->context_size > LIMIT_CONTEXT))
		return err_set(e, ERR_USAGE,
			       "--context-size must be from 1 to %d, not %s",
			       LIMIT_CONTEXT, context);
	return read_source(in, out, e) || read_form(in, out, e) ? -1 : 0;
}

/* ---- a model ---- */

static int make(struct call *c, const struct package_options *o,
		const struct ref *name, struct err *e)
{
	auto_(package) p = NULL;
	char id[DIGEST_TEXT_BYTES];
	const char *path = o->gguf ? o->gguf : o->folder ? o->folder : o->dduf;
	if (path && term_is_tty())
		term_printf("Reading %s\n", path);
	term_flush();
	if (package_new(o, &p, e) || load(c, p, e) ||
	    tagging_tag(c, digest_text(package_id(p), id), name, e))
		return -1;
	term_printf("Model loaded successfully\n");
	return 0;
}

/* Only its context is another: that the server does alone. */
static int repackage(struct call *c, const char *from,
		     const struct package_options *o, const struct ref *name,
		     struct err *e)
{
	char target[REF_TEXT_BYTES];
	auto_json *answer = NULL;
	auto_json *request =
		json_pack("{s:s, s:I}", "target", ref_text(name, target),
			  "context_size", (json_int_t)o->context_size);
	auto_free char *body = json_text(request);
	auto_free char *source = call_escape(from);
	auto_free char *path = xasprintf("/models/%s/repackage", source);
	if (basis_fetch(c, from, e) ||
	    call_json(c, "POST", path, str_of(body), &answer, e))
		return -1;
	term_printf("Model variant created successfully\n");
	return 0;
}

static bool is_only_context(const struct package_options *o)
{
	return o->context_size && !o->n_licences && !o->chat_template &&
	       !o->mmproj && o->form == VARIANT_AS_IT_IS;
}

static int make_of_model(struct call *c, const char *from,
			 struct package_options *o, const struct ref *name,
			 struct err *e)
{
	struct basis basis;
	if (is_only_context(o))
		return repackage(c, from, o, name, e);
	int failed = basis_get(c, from, &basis, e);
	o->manifest = buf_str(&basis.manifest);
	o->config = buf_str(&basis.config);
	if (!failed)
		failed = make(c, o, name, e);
	basis_fini(&basis);
	return failed;
}

static int package(const struct cmd_line *in, struct package_options *o,
		   struct err *e)
{
	auto_(call) c = NULL;
	auto_json *version = NULL;
	struct ref name;
	char pushed[REF_TEXT_BYTES];
	const char *from = cmd_text(in, "from");
	/* Whether the server is there is asked before a long file is read. */
	if (modelname_parse(in->args[0], &name, e) || call_open(&c, e) ||
	    call_json(c, "GET", "/version", STR(""), &version, e))
		return -1;
	if (from ? make_of_model(c, from, o, &name, e) : make(c, o, &name, e))
		return err_wrap(e, "package %s", in->args[0]);
	term_flush();
	if (!cmd_is_set(in, "push"))
		return 0;
	if (pushing_run(c, ref_text(&name, pushed), stdout, e))
		return err_wrap(e, "push %s", in->args[0]);
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
