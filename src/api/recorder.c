#include "api/recorder.h"
#include "api/reply.h"
#include "base/limits.h"
#include "http/sse.h"
#include "io/job.h"

#include <assert.h>

struct recorder {
	struct uv_loop_s *loop;
	bool is_on;
	size_t bytes;	    /* of all records, also of those under way */
	struct list open;   /* record.open_link */
	struct list ended;  /* record.age_link, held; the oldest first */
	struct list groups; /* group.link, owned; the newest first */
	size_t n_groups;
	struct list followers; /* follower.link */
	size_t n_followers;
	size_t n_printing; /* new ones, for followers */
};

/* The records of one model. */
struct group {
	struct list link;
	struct list records; /* record.group_link; the oldest first */
	size_t n;
	char *model_id; /* owned */
};

struct follower {
	struct recorder *recorder;
	struct list link;
	struct http_exchange *x; /* NULL: the client has gone */
	char *model;		 /* owned; "": all */
	bool is_full;		 /* events are skipped until on_drain */
	size_t jobs;		 /* that will look at it */
};

struct recorder *recorder_new(struct uv_loop_s *loop)
{
	struct recorder *r = xcalloc(1, sizeof *r);
	struct list *const lists[] = { &r->open, &r->ended, &r->groups,
				       &r->followers };
	r->loop = loop;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	return r;
}

/* ---- what is kept ---- */

static struct group *find_group(struct recorder *r, const char *model_id)
{
	list_each (it, &r->groups) {
		struct group *g = container_of(it, struct group, link);
		if (strcmp(g->model_id, model_id) == 0)
			return g;
	}
	return NULL;
}

static void forget(struct recorder *r, struct record *record)
{
	struct group *g = find_group(r, record->model_id);
	list_remove(&record->age_link);
	list_remove(&record->group_link);
	r->bytes -= record_bytes(record);
	record_drop(record);
	if (--g->n)
		return;
	list_remove(&g->link);
	r->n_groups--;
	free(g->model_id);
	free(g);
}

static void forget_oldest(struct recorder *r)
{
	forget(r, container_of(r->ended.next, struct record, age_link));
}

/* The newest of models stand first, so the last is who waited longest. */
static void forget_group(struct recorder *r)
{
	struct group *g = container_of(r->groups.prev, struct group, link);
	for (size_t n = g->n; n; n--)
		forget(r, container_of(g->records.next, struct record,
				       group_link));
}

static void keep(struct recorder *r, struct record *record)
{
	struct group *g = find_group(r, record->model_id);
	if (!g && r->n_groups == LIMIT_RECORD_MODELS)
		forget_group(r);
	if (!g) {
		g = xcalloc(1, sizeof *g);
		g->model_id = xstrdup(record->model_id);
		list_init(&g->records);
		list_init(&g->link);
		r->n_groups++;
	}
	list_remove(&g->link);
	list_push_front(&r->groups, &g->link);
	list_push_back(&g->records, &record->group_link);
	list_push_back(&r->ended, &record->age_link);
	g->n++;
	if (g->n > LIMIT_RECORDS_PER_MODEL)
		forget(r, container_of(g->records.next, struct record,
				       group_link));
}

/* Appends what fits, into the body and into all. */
static void append(struct recorder *r, struct buf *to, struct str piece,
		   uint64_t *cut)
{
	size_t room = to->max - to->n, cap = to->cap;
	size_t n = *cut ? 0 : MIN(piece.n, room);
	/* A buffer doubles when it grows. */
	while (r->bytes + 2 * (to->n + n) > LIMIT_RECORDER_BYTES &&
	       !list_is_empty(&r->ended))
		forget_oldest(r);
	if (to->n + n > cap &&
	    r->bytes + 2 * (to->n + n) > LIMIT_RECORDER_BYTES)
		n = MIN(n, cap ? cap - to->n : 0);
	if (n && buf_put(to, piece.p, n))
		n = 0;
	*cut += piece.n - n;
	r->bytes += to->cap - cap;
}

struct record *recorder_begin(struct recorder *r, const struct record_facts *f,
			      struct str body)
{
	if (!r->is_on)
		return NULL;
	struct record *record = record_new(f);
	r->bytes += record_bytes(record);
	list_push_back(&r->open, &record->open_link);
	append(r, &record->request, body, &record->request_cut);
	return record;
}

void recorder_see(struct recorder *r, struct record *record, struct str piece)
{
	if (record)
		append(r, &record->answer, piece, &record->answer_cut);
}

void recorder_set_on(struct recorder *r, bool on)
{
	r->is_on = on;
	while (!on && !list_is_empty(&r->ended))
		forget_oldest(r);
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	assert(list_is_empty(&r->open) && list_is_empty(&r->followers));
	recorder_set_on(r, false);
	free(r);
}

/* ---- printing, on another thread ---- */

enum print_form { PRINT_ARRAY, PRINT_EXISTING, PRINT_NEW };

struct printing {
	struct recorder *recorder;
	struct follower *to;	 /* NULL: of PRINT_NEW, all */
	struct record **records; /* owned, each held */
	size_t n;
	enum print_form form;
	struct buf out;
};

/* One element of the answer: n records of one model, from number i. */
static int print_group(const struct printing *p, size_t i, size_t n,
		       struct buf *out)
{
	int full =
		buf_printf(out, "{\"count\":%zu,\"model\":", n) ||
		buf_put_json(out, str_of(p->form == PRINT_NEW
						 ? p->records[i]->model
						 : p->records[i]->model_id)) ||
		buf_printf(out, ",\"config\":%s,\"records\":[",
			   p->records[i + n - 1]->config);
	for (size_t j = 0; j < n && !full; j++)
		full = (j && buf_puts(out, ",")) ||
		       record_print(p->records[i + j], out);
	return full || buf_puts(out, "]}");
}

static size_t group_size(const struct printing *p, size_t i)
{
	size_t n = 1;
	while (i + n < p->n && strcmp(p->records[i]->model_id,
				      p->records[i + n]->model_id) == 0)
		n++;
	return n;
}

static int print_array(struct printing *p)
{
	int full = buf_puts(&p->out, "[");
	for (size_t i = 0, n; i < p->n && !full; i += n) {
		n = group_size(p, i);
		full = (i && buf_puts(&p->out, ",")) ||
		       print_group(p, i, n, &p->out);
	}
	return full || buf_puts(&p->out, "]");
}

static int print_events(struct printing *p)
{
	const char *name =
		p->form == PRINT_NEW ? "new_request" : "existing_request";
	for (size_t i = 0; i < p->n; i++)
		if (buf_printf(&p->out, "event: %s\ndata: [", name) ||
		    print_group(p, i, 1, &p->out) || buf_puts(&p->out, "]\n\n"))
			return BUF_FULL;
	return 0;
}

static int print(void *ctx, struct err *e)
{
	struct printing *p = ctx;
	int full = p->form == PRINT_ARRAY ? print_array(p) : print_events(p);
	return full ? err_set(e, ERR_INTERNAL,
			      "the answer would be larger than %u bytes",
			      LIMIT_REPLY_BODY_BYTES)
		    : 0;
}

/* ---- those who listen ---- */

static bool is_of(const struct record *record, const char *model)
{
	return !model[0] || strcmp(record->model, model) == 0 ||
	       strcmp(record->model_id, model) == 0;
}

static void follower_free_if_done(struct follower *f)
{
	if (f->x || f->jobs)
		return;
	free(f->model);
	free(f);
}

static void leave(struct follower *f)
{
	f->x = NULL;
	if (!list_is_empty(&f->link))
		f->recorder->n_followers--;
	list_remove(&f->link);
	follower_free_if_done(f);
}

static void on_gone(void *ctx)
{
	leave(ctx);
}

static void on_drain(void *ctx)
{
	((struct follower *)ctx)->is_full = false;
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

static void tell(struct follower *f, struct str events)
{
	if (f->x && !f->is_full && events.n &&
	    exchange_write(f->x, events) == STREAM_FULL)
		f->is_full = true;
}

static void answer_all(struct printing *p, int outcome, const struct err *e)
{
	struct follower *f = p->to;
	struct http_exchange *x = steal(&f->x);
	if (x && outcome < 0)
		reply_error(x, e);
	else if (x)
		exchange_reply(x, 200, REPLY_JSON, buf_str(&p->out));
}

static void on_printed(void *ctx, int outcome, const struct err *e)
{
	struct printing *p = ctx;
	struct recorder *r = p->recorder;
	r->n_printing -= p->form == PRINT_NEW;
	if (p->form == PRINT_ARRAY)
		answer_all(p, outcome, e);
	else if (p->to)
		tell(p->to, buf_str(&p->out));
	else
		list_each (it, &r->followers) {
			struct follower *f =
				container_of(it, struct follower, link);
			if (is_of(p->records[0], f->model))
				tell(f, buf_str(&p->out));
		}
	for (size_t i = 0; i < p->n; i++)
		record_drop(p->records[i]);
	if (p->to) {
		p->to->jobs--;
		follower_free_if_done(p->to);
	}
	free(p->records);
	buf_fini(&p->out);
	free(p);
}

static struct printing *new_printing(struct recorder *r, enum print_form form)
{
	struct printing *p = xcalloc(1, sizeof *p);
	p->recorder = r;
	p->form = form;
	buf_init(&p->out, LIMIT_REPLY_BODY_BYTES);
	return p;
}

static void add(struct printing *p, struct record *record)
{
	p->records = xrealloc(p->records, (p->n + 1) * sizeof *p->records);
	record_hold(record);
	p->records[p->n++] = record;
}

/* All there is of the follower's model, model by model. */
static void print_existing(struct recorder *r, struct follower *f,
			   enum print_form form)
{
	struct printing *p = new_printing(r, form);
	p->to = f;
	f->jobs++;
	list_each (it, &r->groups) {
		struct group *g = container_of(it, struct group, link);
		list_each (in, &g->records) {
			struct record *record =
				container_of(in, struct record, group_link);
			if (is_of(record, f->model))
				add(p, record);
		}
	}
	job_start(r->loop, print, on_printed, p);
}

static struct follower *new_follower(struct recorder *r,
				     struct http_exchange *x, struct str model)
{
	struct follower *f = xcalloc(1, sizeof *f);
	f->recorder = r;
	f->x = x;
	f->model = str_dup(model);
	list_init(&f->link);
	exchange_set_fns(x, &exchange_fns, f);
	return f;
}

void recorder_answer(struct recorder *r, struct http_exchange *x,
		     struct str model)
{
	print_existing(r, new_follower(r, x, model), PRINT_ARRAY);
}

void recorder_follow(struct recorder *r, struct http_exchange *x,
		     struct str model, bool with_existing)
{
	struct err e;
	if (r->n_followers == LIMIT_RECORD_FOLLOWERS) {
		err_set(&e, ERR_BUSY, "%d clients follow the requests already",
			LIMIT_RECORD_FOLLOWERS);
		reply_error(x, &e);
		return;
	}
	struct follower *f = new_follower(r, x, model);
	list_push_back(&r->followers, &f->link);
	r->n_followers++;
	exchange_add(x, "Content-Type", STR(SSE_TYPE));
	exchange_add(x, "Cache-Control", STR("no-cache"));
	exchange_start(x, 200, EXCHANGE_CHUNKED);
	tell(f, STR("event: connected\ndata: {\"status\": \"connected\"}\n\n"));
	if (with_existing)
		print_existing(r, f, PRINT_EXISTING);
}

void recorder_end_followers(struct recorder *r)
{
	while (!list_is_empty(&r->followers)) {
		struct follower *f =
			container_of(r->followers.next, struct follower, link);
		struct http_exchange *x = f->x;
		leave(f);
		exchange_end(x);
	}
}

void recorder_end(struct recorder *r, struct record *record, int status,
		  struct str failure)
{
	if (!record)
		return;
	list_remove(&record->open_link);
	record->status = status;
	record->failure = failure.n ? str_dup(failure) : NULL;
	bool is_awaited = false;
	list_each (it, &r->followers)
		is_awaited |= is_of(
			record, container_of(it, struct follower, link)->model);
	/* Where printing does not keep up, events are left out. */
	if (is_awaited && r->n_printing < LIMIT_RECORD_EVENTS) {
		struct printing *p = new_printing(r, PRINT_NEW);
		add(p, record);
		r->n_printing++;
		job_start(r->loop, print, on_printed, p);
	}
	if (r->is_on) {
		keep(r, record);
	} else {
		r->bytes -= record_bytes(record);
		record_drop(record);
	}
}
