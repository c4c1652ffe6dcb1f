/* GET /models/NAME/export: a model as a tar, with ?format=oci as an OCI image
 * layout. A job reads a piece, the loop sends it; a client that reads slowly
 * gets the next piece later. */
#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/job.h"
#include "model/export.h"

struct exporting {
	struct api *api;
	struct http_exchange *x; /* NULL: the client has gone */
	struct export *export;	 /* owned; NULL before it is opened */
	struct digest id;
	enum archive_form form;
	const char *disposition; /* in the exchange's arena */
	char *piece;		 /* owned; LIMIT_EXPORT_PIECE_BYTES */
	size_t n;
	bool is_working; /* a job has it */
	bool is_full;	 /* the client must take what it got first */
};

static void exporting_free(struct exporting *s)
{
	export_free(s->export);
	free(s->piece);
	free(s);
}

static int read_piece(void *ctx, struct err *e)
{
	struct exporting *s = ctx;
	if (!s->export) {
		int outcome = export_new(s->api->store, &s->id, s->form,
					 &s->export, e);
		if (outcome == STORE_ABSENT)
			return err_set(e, ERR_NOT_FOUND, "model not found");
		if (outcome)
			return -1;
	}
	return export_read(s->export, s->piece, LIMIT_EXPORT_PIECE_BYTES, &s->n,
			   e);
}

static void begin(struct exporting *s)
{
	exchange_add(s->x, "Content-Type", STR("application/x-tar"));
	exchange_add(s->x, "Content-Disposition", str_of(s->disposition));
	exchange_start(s->x, 200, (int64_t)export_bytes(s->export));
}

static void on_read(void *ctx, int outcome, const struct err *e);

static void next(struct exporting *s)
{
	s->is_working = true;
	job_start(s->api->loop, read_piece, on_read, s);
}

static void on_read(void *ctx, int outcome, const struct err *e)
{
	struct exporting *s = ctx;
	struct http_exchange *x = s->x;
	s->is_working = false;
	if (x && outcome < 0 && exchange_is_started(x)) {
		log_warn("export cut id=%s error=\"%s\"", s->id.hex, e->msg);
		exchange_abort(x);
	} else if (x && outcome < 0) {
		reply_text_error(x, e);
	} else if (x) {
		if (!exchange_is_started(x))
			begin(s);
		if (s->n) {
			struct str piece = { s->piece, s->n };
			s->is_full = exchange_write(x, piece) == STREAM_FULL;
			if (!s->is_full)
				next(s);
			return;
		}
		exchange_end(x);
	}
	exporting_free(s);
}

static void on_drain(void *ctx)
{
	struct exporting *s = ctx;
	if (s->is_full && !s->is_working) {
		s->is_full = false;
		next(s);
	}
}

static void on_gone(void *ctx)
{
	struct exporting *s = ctx;
	s->x = NULL;
	if (!s->is_working)
		exporting_free(s);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

/* The name is the client's: only what a file name may hold goes back. */
static const char *disposition(struct arena *a, struct str name)
{
	static const char head[] = "attachment; filename=\"";
	char *text = arena_printf(a, "%s%.*s.tar\"", head,
				  STR_ARG(str_head(name, 200)));
	for (char *p = text + sizeof head - 1; p[5]; p++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789._-",
			    *p))
			*p = '_';
	return text;
}

static int find(struct api *api, struct http_exchange *x, struct str name,
		const struct catalog_model **out, struct str *format,
		struct err *e)
{
	if (url_query_get(exchange_target(x)->query, "format",
			  exchange_arena(x), format) &&
	    !str_eq(*format, "oci") && !str_eq(*format, "docker"))
		return err_field(e, "format",
				 "'format' must be \"docker\" or \"oci\"");
	return allowed_find(api, x, name, out, e);
}

void models_export(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	struct err e;
	struct str format = STR("docker");
	const struct catalog_model *model;
	if (find(app, x, m->params[0], &model, &format, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct exporting *s = xcalloc(1, sizeof *s);
	s->api = app;
	s->x = x;
	s->id = model->id;
	s->form = str_eq(format, "oci") ? ARCHIVE_OCI : ARCHIVE_DOCKER;
	s->piece = xcalloc(1, LIMIT_EXPORT_PIECE_BYTES);
	s->disposition = disposition(exchange_arena(x), m->params[0]);
	exchange_set_fns(x, &exchange_fns, s);
	next(s);
}
