/* serve.h - the HTTP side of modeld-llama: its routes and what they share.
 *
 * One struct serve per process. The files chat.c, completion.c, embedding.c,
 * ranking.c, tokenize.c and inspect.c each hold a family of endpoints; what
 * exists is the table in serve.c. */
#pragma once
#include "base/json.h"
#include "base/list.h"
#include "http/router.h"
#include "http/server.h"
#include "llama/batch.h"

struct uv_loop_s;
struct weights;

/* For /metrics; all since the start. */
struct serve_counts {
	uint64_t requests;
	uint64_t failures; /* answered with an error */
	uint64_t prompt_tokens, cached_tokens, made_tokens;
	double prompt_s, made_s;
};

struct serve {
	struct uv_loop_s *loop;
	const struct weights *weights;
	struct batch *batch;
	struct prepare *prepare;
	const struct lora *lora;
	struct projector *projector; /* NULL: it takes no images */
	struct album *album;	     /* with the projector */
	const char *blind;	     /* why it takes none though it could */
	struct common_shim_templates *templates;
	const json_t *defaults; /* of requests' fields; NULL: none */
	const char *alias; /* what the model is called if a request does not */
	int64_t started;   /* seconds since 1970 */
	struct serve_counts counts;
	bool is_draining;
	struct http_server *http;  /* owned */
	struct listener *listener; /* owned */
	/* Called when tasks started or ended. */
	void (*on_change)(void *ctx);
	void *ctx;
};

/* Listens at "unix:/path" or "HOST:PORT". */
must_use int serve_open(struct serve *s, const char *address, struct err *e);
/* The port listened on; 0 for a Unix socket. */
int serve_port(const struct serve *s);
/* No new requests; those under way go on. */
void serve_drain(struct serve *s);
/* Cuts what is left. */
void serve_close(struct serve *s);

/* -1: the model is of the other kind; says so. These, serve_fits() and
 * serve_tokenize() read what never changes: any thread. */
must_use int serve_needs_text(const struct serve *s, struct err *e);
must_use int serve_needs_vectors(const struct serve *s, struct err *e);
must_use int serve_needs_ranks(const struct serve *s, struct err *e);
/* -1: too many answers wait, and enough of them are this caller's. */
must_use int serve_has_room(const struct serve *s,
			    const struct batch_owner *owner, size_t n_tasks,
			    struct err *e);
/* -1 with both numbers: more tokens than a request may have. `field` is the
 * one at fault. */
must_use int serve_fits(const struct serve *s, size_t n_tokens,
			const char *field, struct err *e);

/* Appends the tokens of a request's text. Tells without counting them, as
 * serve_fits() does, when they can only be too many. */
must_use int serve_tokenize(const struct serve *s, struct str text, int flags,
			    const char *field, struct tokens *out,
			    struct err *e);

/* Whose cache the request uses, from its field SERVE_OWNER_FIELD; nobody's name
 * if it has none. -1: the name is too long. */
#define SERVE_OWNER_FIELD "Modeld-Cache-Id"
must_use int serve_read_owner(const struct http_exchange *x,
			      struct batch_owner *out, struct err *e);

/* That name as it stands there, for prepare.h: empty if there is none. */
struct str serve_caller(const struct http_exchange *x);

/* Answers under way, with those that are being prepared (one a request). */
size_t serve_open_answers(const struct serve *s);
void serve_on_change(struct serve *s);

void chat_handle(void *serve, struct http_exchange *x,
		 const struct route_match *m);
void chat_apply_template(void *serve, struct http_exchange *x,
			 const struct route_match *m);
void completion_handle(void *serve, struct http_exchange *x,
		       const struct route_match *m);
void embedding_handle(void *serve, struct http_exchange *x,
		      const struct route_match *m);
void ranking_rerank(void *serve, struct http_exchange *x,
		    const struct route_match *m);
void ranking_score(void *serve, struct http_exchange *x,
		   const struct route_match *m);
void tokenize_handle(void *serve, struct http_exchange *x,
		     const struct route_match *m);
void tokenize_undo(void *serve, struct http_exchange *x,
		   const struct route_match *m);
void inspect_props(void *serve, struct http_exchange *x,
		   const struct route_match *m);
void inspect_slots(void *serve, struct http_exchange *x,
		   const struct route_match *m);
void inspect_adapters(void *serve, struct http_exchange *x,
		      const struct route_match *m);
