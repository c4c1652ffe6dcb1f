/* GET /models/NAME/export: a model as a tar, with ?format=oci as an OCI image
 * layout, with ?layers=false only its config and manifest. A deletion meanwhile
 * does not cut it. */
#include "api/allowed.h"
#include "api/pieces.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/limits.h"
#include "model/export.h"

struct exporting {
	struct pieces pieces;
	struct export *export; /* owned; NULL before it is opened */
	struct digest id;
	enum archive_form form;
	bool has_layers;
	const char *disposition; /* in the exchange's arena */
	char *piece;		 /* owned; LIMIT_EXPORT_PIECE_BYTES */
	size_t n;
};

static int read_piece(struct pieces *p, struct err *e)
{
	struct exporting *s = container_of(p, struct exporting, pieces);
	if (!s->export) {
		int outcome = export_new(p->api->store, &s->id, s->form,
					 s->has_layers, &s->export, e);
		if (outcome == STORE_ABSENT)
			return err_set(e, ERR_NOT_FOUND, "model not found");
		if (outcome)
			return -1;
	}
	return export_read(s->export, s->piece, LIMIT_EXPORT_PIECE_BYTES, &s->n,
			   e);
}

static int send_piece(struct pieces *p, int outcome)
{
	struct exporting *s = container_of(p, struct exporting, pieces);
	(void)outcome;
	if (!exchange_is_started(p->x)) {
		exchange_add(p->x, "Content-Type", STR("application/x-tar"));
		exchange_add(p->x, "Content-Disposition",
			     str_of(s->disposition));
		exchange_start(p->x, 200, (int64_t)export_bytes(s->export));
	}
	/* Who asks for the head alone need not wait for gigabytes. */
	if (!s->n || exchange_head(p->x)->method == HTTP_HEAD)
		return PIECES_END;
	return exchange_write(p->x, (struct str){ s->piece, s->n });
}

/* The last to let go of a model that was deleted removes it. */
static void fini(struct pieces *p)
{
	struct exporting *s = container_of(p, struct exporting, pieces);
	export_free(s->export);
	free(s->piece);
}

static const struct pieces_fns pieces_fns = { .make = read_piece,
					      .send = send_piece,
					      .fini = fini };

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
		bool *has_layers, struct err *e)
{
	if (url_query_bool(exchange_target(x)->query, "layers", true,
			   exchange_arena(x), has_layers, e))
		return -1;
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
	bool has_layers;
	const struct catalog_model *model;
	if (find(app, x, m->params[0], &model, &format, &has_layers, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct exporting *s = xcalloc(1, sizeof *s);
	s->id = model->id;
	s->form = str_eq(format, "oci") ? ARCHIVE_OCI : ARCHIVE_DOCKER;
	s->has_layers = has_layers;
	s->piece = xcalloc(1, LIMIT_EXPORT_PIECE_BYTES);
	s->disposition = disposition(exchange_arena(x), m->params[0]);
	pieces_start(&s->pieces, app, x, &pieces_fns);
}
