#include "oci/push_blob.h"
#include "base/log.h"
#include "io/source.h"
#include "io/timer.h"
#include "oci/fetch.h"
#include "oci/push_range.h"

#include <stdio.h>

enum step {
	LOOK,	/* HEAD of the blob: is it there already? */
	SEEK,	/* the same in a repository that it may be mounted from */
	MOUNT,	/* POST: from there */
	BEGIN,	/* POST: an upload */
	CHUNK,	/* PATCH: the next bytes */
	COMMIT, /* PUT: those were all */
	WHOLE,	/* PUT: all bytes */
	ASK,	/* GET: how far is the upload? */
	CHECK,	/* HEAD of the blob: is it there now? */
};

/* What is remembered of an answer's head. */
struct answer {
	bool has_location, has_range, has_length, has_digest;
	struct weburl location;
	uint64_t range, length;
	struct digest digest;
	struct err bad; /* code ERR_NONE: nothing is wrong with it */
};

struct push_blob {
	struct push_blob_config config; /* path owned, registry held */
	push_blob_fn fn;
	void *ctx;
	char *place; /* owned; for push_kept */
	enum step step;
	struct fetch *fetch;
	struct source *source; /* of the body that is being sent */
	struct timer pause;
	struct answer answer;
	size_t from;	 /* which of config.from is tried */
	bool has_upload; /* `at` is where it goes on */
	struct weburl at;
	uint64_t chunk;	    /* as large as they are */
	bool has_no_chunks; /* the registry does not take them */
	uint64_t there;	    /* bytes that the registry has */
	uint64_t best;	    /* the most that it ever had */
	uint64_t body;	    /* bytes of the body that is being sent */
	uint64_t taken;	    /* of them, so many were */
	uint64_t sent;	    /* where the last byte ends that was ever sent */
	int failures;	    /* in a row */
	int looks;
};

static void next(struct push_blob *b);

/* ---- the end ---- */

static void stop(struct push_blob *b)
{
	if (b->fetch)
		fetch_cancel(steal(&b->fetch));
	source_free(steal(&b->source));
}

static void destroy(struct push_blob *b)
{
	stop(b);
	timer_fini(&b->pause);
	if (b->has_upload && b->sent)
		push_kept_put(b->config.kept, b->place, &b->config.digest,
			      &b->at);
	registry_release(b->config.registry);
	free((char *)b->config.path);
	free(b->place);
	free(b);
}

static void finish(struct push_blob *b, int outcome, const struct err *e)
{
	push_blob_fn fn = b->fn;
	void *ctx = b->ctx;
	struct err why;
	if (outcome)
		why = *e;
	destroy(b);
	fn(ctx, outcome, &why);
}

static void fail(struct push_blob *b, struct err *e)
{
	if (e->code == ERR_NOT_FOUND)
		e->code = ERR_SYSTEM; /* it is not the model */
	err_wrap(e, "blob sha256:%.12s", b->config.digest.hex);
	finish(b, -1, e);
}

static void go(struct push_blob *b, enum step step)
{
	b->step = step;
	next(b);
}

static void on_pause_over(void *ctx)
{
	next(ctx);
}

/* After a pause, if it is worth it. */
static void again(struct push_blob *b, enum step step, const struct err *e,
		  unsigned wait_ms)
{
	struct err why = *e;
	b->step = step;
	if (b->there >= b->best + LIMIT_PULL_PROGRESS_BYTES)
		b->failures = 0;
	b->best = MAX(b->best, b->there);
	if (++b->failures > LIMIT_PULL_TRIES) {
		fail(b, &why);
		return;
	}
	log_info("blob is sent again blob=%s bytes=%llu why=\"%s\"",
		 b->config.digest.hex, (unsigned long long)b->there, why.msg);
	unsigned ms = LIMIT_PULL_PAUSE_MS << b->failures;
	timer_start(&b->pause, MAX(ms, wait_ms));
}

/* The upload is not there any more, or was never as it should be. */
static void forget_upload(struct push_blob *b)
{
	b->has_upload = false;
	b->best = MAX(b->best, b->there);
	b->there = b->taken = 0;
}

/* ---- the bytes ---- */

static void on_ready(void *ctx)
{
	struct push_blob *b = ctx;
	struct err e;
	if (source_has_failed(b->source, &e))
		fail(b, &e);
	else if (b->fetch)
		fetch_send(b->fetch);
}

static size_t on_send(void *ctx, char *to, size_t room)
{
	struct push_blob *b = ctx;
	struct err e;
	size_t n = source_take(b->source, to, room);
	if (!n && source_has_failed(b->source, &e)) {
		fail(b, &e);
		return 0;
	}
	b->taken += n;
	b->sent = MAX(b->sent, b->there + b->taken);
	return n;
}

static void on_rewind(void *ctx)
{
	struct push_blob *b = ctx;
	b->taken = 0;
	source_rewind(b->source);
}

/* ---- answers ---- */

static void read_digest(struct answer *a, struct str text)
{
	struct err unused;
	a->has_digest = text.p && digest_parse(text, &a->digest, &unused) == 0;
}

static void on_head(void *ctx, int status)
{
	struct push_blob *b = ctx;
	struct answer *a = &b->answer;
	struct str length = fetch_field(b->fetch, "Content-Length");
	struct str range = fetch_field(b->fetch, "Range");
	struct str least = fetch_field(b->fetch, "OCI-Chunk-Min-Length");
	uint64_t n;
	*a = (struct answer){ .has_length = length.p != NULL };
	a->has_length = a->has_length && str_to_u64(length, &a->length);
	a->has_range = range.p && push_range_parse(range, &a->range);
	read_digest(a, fetch_field(b->fetch, "Docker-Content-Digest"));
	if (least.p && str_to_u64(least, &n))
		b->chunk = MAX(b->chunk, n);
	/* That of a blob that is stored (201) is where to get it. */
	bool goes_on = b->step == MOUNT || b->step == BEGIN ||
		       b->step == CHUNK || b->step == ASK;
	bool has_location = fetch_field(b->fetch, "Location").p != NULL;
	if (goes_on && status != 201 && (has_location || b->step == BEGIN))
		a->has_location =
			!fetch_leads_to(b->fetch, &a->location, &a->bad);
}

static int on_body(void *ctx, struct str piece)
{
	(void)ctx;
	(void)piece;
	return 0;
}

static bool is_our_blob(const struct push_blob *b)
{
	const struct answer *a = &b->answer;
	return (!a->has_length || a->length == b->config.bytes) &&
	       (!a->has_digest || digest_eq(&a->digest, &b->config.digest));
}

/* The next repository to mount it from, if there is one, or an upload. */
static void seek_on(struct push_blob *b)
{
	if (push_kept_take(b->config.kept, b->place, &b->config.digest,
			   &b->at)) {
		b->has_upload = true;
		b->sent = b->config.bytes; /* what was sent then is not known */
		go(b, ASK);
		return;
	}
	go(b, b->from < b->config.n_from ? SEEK : BEGIN);
}

/* The registry has so many bytes; what comes next? */
static void send_on(struct push_blob *b)
{
	bool is_small = b->config.bytes <= b->chunk;
	if (b->there && b->there == b->config.bytes)
		go(b, COMMIT);
	else if (!b->there && (is_small || b->has_no_chunks))
		go(b, WHOLE);
	else if (b->has_no_chunks)
		go(b, BEGIN);
	else
		go(b, CHUNK);
}

static void take_upload(struct push_blob *b)
{
	b->at = b->answer.location;
	b->has_upload = true;
	b->there = 0;
	send_on(b);
}

/* An answer to a chunk, or to how far it is. */
static void take_range(struct push_blob *b, uint64_t said)
{
	struct err e;
	if (said > b->sent || said > b->config.bytes) {
		err_set(&e, ERR_CORRUPT,
			"the registry says that it has %llu bytes, of which "
			"%llu were sent",
			(unsigned long long)said, (unsigned long long)b->sent);
		b->has_upload = false;
		fail(b, &e);
		return;
	}
	if (b->step == CHUNK && said > b->there + b->body) {
		/* As a chunk that an earlier push left may come late. */
		err_set(&e, ERR_ENGINE,
			"the registry has %llu bytes, more than it was to get: "
			"of another writer",
			(unsigned long long)said);
		forget_upload(b);
		again(b, LOOK, &e, 0);
		return;
	}
	/* Also of what was answered, and cut, before it was all there. */
	bool is_less = b->step == CHUNK && said < b->there + b->body;
	/* What the sockets took of it is no progress. */
	if (!is_less || b->answer.has_range)
		b->there = said;
	b->taken = 0;
	if (is_less) {
		err_set(&e, ERR_ENGINE,
			"the registry has %llu bytes, fewer than it was to get",
			(unsigned long long)said);
		again(b, ASK, &e, 0);
		return;
	}
	send_on(b);
}

static void take_stored(struct push_blob *b)
{
	struct err e;
	b->has_upload = false;
	b->there = b->config.bytes;
	b->taken = 0;
	if (b->answer.has_digest &&
	    !digest_eq(&b->answer.digest, &b->config.digest)) {
		err_set(&e, ERR_CORRUPT,
			"the registry says that it stored another blob: "
			"sha256:%s",
			b->answer.digest.hex);
		fail(b, &e);
		return;
	}
	go(b, CHECK);
}

/* It said that it stored the blob. */
static void look_again(struct push_blob *b, unsigned wait_ms)
{
	struct err e;
	if (++b->looks < LIMIT_PUSH_LOOKS) {
		timer_start(&b->pause, MAX(LIMIT_PULL_PAUSE_MS, wait_ms));
		return;
	}
	err_set(&e, ERR_CORRUPT,
		"the registry said that it stored the blob, but does not have "
		"it");
	fail(b, &e);
}

static void on_good(struct push_blob *b, int status)
{
	struct answer *a = &b->answer;
	switch (b->step) {
	case LOOK:
		if (is_our_blob(b))
			finish(b, 0, NULL);
		else
			seek_on(b);
		return;
	case SEEK:
		if (!is_our_blob(b))
			b->from++;
		go(b, is_our_blob(b)		   ? MOUNT
		      : b->from < b->config.n_from ? SEEK
						   : BEGIN);
		return;
	case MOUNT:
	case BEGIN:
		if (status == 201)
			take_stored(b);
		else if (a->has_location)
			take_upload(b);
		else
			go(b, BEGIN);
		return;
	case CHUNK:
	case ASK:
		if (a->has_location)
			b->at = a->location;
		take_range(b, a->has_range     ? a->range
			      : b->step == ASK ? 0
					       : b->there + b->taken);
		return;
	case COMMIT:
	case WHOLE:
		take_stored(b);
		return;
	case CHECK:
		if (is_our_blob(b))
			finish(b, 0, NULL);
		else
			look_again(b, 0);
		return;
	}
}

/* ---- failures ---- */

static void on_refused(struct push_blob *b, int status, struct err *e)
{
	if (e->code == ERR_FORBIDDEN) {
		fail(b, e);
		return;
	}
	switch (b->step) {
	case LOOK: /* it may know no HEAD */
		if (e->code == ERR_AUTH)
			fail(b, e);
		else
			seek_on(b);
		return;
	case SEEK:
	case MOUNT:
		b->from++;
		go(b, b->from < b->config.n_from ? SEEK : BEGIN);
		return;
	case BEGIN:
		if (status == 404)
			err_wrap(e, "there is no repository '%s' to push to",
				 b->config.registry->repository);
		fail(b, e);
		return;
	case ASK:
		/* Docker's registry knows no upload any more that was cut in
		 * the middle of a chunk. What led here was counted. */
		forget_upload(b);
		go(b, LOOK);
		return;
	case CHUNK:
	case COMMIT:
		if (status == 416 || status == 404) {
			again(b, ASK, e, 0);
		} else if (status && e->code == ERR_SYSTEM &&
			   !b->has_no_chunks) {
			b->has_no_chunks = true;
			forget_upload(b);
			go(b, LOOK);
		} else {
			fail(b, e);
		}
		return;
	case WHOLE:
		if (status == 404) {
			forget_upload(b);
			again(b, LOOK, e, 0);
		} else if (status == 400) {
			e->code = ERR_CORRUPT;
			err_wrap(e, "the registry does not accept the bytes; "
				    "'docker model verify' tells whether they "
				    "are damaged here");
			b->has_upload = false;
			fail(b, e);
		} else {
			fail(b, e);
		}
		return;
	case CHECK:
		if (e->code == ERR_NOT_FOUND)
			look_again(b, 0);
		else
			finish(b, 0, NULL); /* it knows no HEAD */
		return;
	}
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct push_blob *b = ctx;
	int status = fetch_status(b->fetch);
	unsigned wait_ms = fetch_retry_after_ms(b->fetch);
	struct err why;
	b->fetch = NULL;
	source_free(steal(&b->source));
	if (outcome == 0 && b->answer.bad.code != ERR_NONE) {
		why = b->answer.bad;
		b->has_upload = false;
		fail(b, &why);
		return;
	}
	if (outcome == 0) {
		on_good(b, status);
		return;
	}
	why = *e;
	bool may_pass = fetch_is_passing(e) || e->code == ERR_REFUSED;
	bool is_sent =
		b->step == CHUNK || b->step == COMMIT || b->step == WHOLE;
	if (may_pass)
		again(b, is_sent ? ASK : b->step, &why, wait_ms);
	else
		on_refused(b, status, &why);
}

static const struct fetch_fns fns = { .on_head = on_head,
				      .on_body = on_body,
				      .on_send = on_send,
				      .on_rewind = on_rewind,
				      .on_end = on_end };

/* ---- requests ---- */

static void request(struct push_blob *b, const struct fetch_request *q)
{
	b->answer = (struct answer){ .has_location = false };
	b->fetch = fetch_start(b->config.registry, q, &fns, b);
}

static void start_look(struct push_blob *b)
{
	char text[DIGEST_TEXT_BYTES], path[DIGEST_TEXT_BYTES + 8];
	snprintf(path, sizeof path, "blobs/%s",
		 digest_text(&b->config.digest, text));
	request(b, &(struct fetch_request){ .is_head = true,
					    .path = path,
					    .limit_ms = LIMIT_DOCUMENT_MS });
}

/* In another repository, which is another path of the same registry. */
static void start_seek(struct push_blob *b)
{
	char text[DIGEST_TEXT_BYTES];
	struct weburl at = registry_place(b->config.registry)->url;
	size_t used = strlen(at.target);
	digest_text(&b->config.digest, text);
	int n = snprintf(at.target + used, sizeof at.target - used,
			 "/v2/%s/blobs/%s", b->config.from[b->from], text);
	if ((size_t)n >= sizeof at.target - used) {
		go(b, BEGIN);
		return;
	}
	request(b, &(struct fetch_request){ .is_head = true,
					    .path = "",
					    .location = &at,
					    .limit_ms = LIMIT_DOCUMENT_MS });
}

static void start_post(struct push_blob *b)
{
	char text[DIGEST_TEXT_BYTES];
	const char *from = b->config.from[b->from];
	digest_text(&b->config.digest, text);
	auto_free char *path =
		b->step == MOUNT ? xasprintf("blobs/uploads/?mount=%s&from=%s",
					     text, from)
				 : xstrdup("blobs/uploads/");
	struct fetch_upload up = { .method = "POST" };
	request(b, &(struct fetch_request){ .path = path,
					    .upload = &up,
					    .limit_ms = LIMIT_DOCUMENT_MS });
}

static void start_ask(struct push_blob *b)
{
	struct fetch_upload up = { .method = "GET" };
	request(b, &(struct fetch_request){ .path = "",
					    .location = &b->at,
					    .upload = &up,
					    .limit_ms = LIMIT_DOCUMENT_MS });
}

/* `n` bytes from where the registry is. */
static void open_body(struct push_blob *b, uint64_t n)
{
	b->body = n;
	b->taken = 0;
	b->source = source_new(b->config.lane, b->config.path, b->there, n,
			       on_ready, b);
}

static void start_chunk(struct push_blob *b)
{
	char range[64];
	uint64_t n = MIN(b->config.bytes - b->there, b->chunk);
	snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)b->there,
		 (unsigned long long)(b->there + n - 1));
	open_body(b, n);
	struct fetch_upload up = { .method = "PATCH",
				   .content_type = "application/octet-stream",
				   .content_range = range,
				   .stream_bytes = n };
	request(b, &(struct fetch_request){
			   .path = "", .location = &b->at, .upload = &up });
}

static void start_put(struct push_blob *b)
{
	struct err e;
	char text[DIGEST_TEXT_BYTES];
	struct weburl to = b->at;
	size_t used = strlen(to.target);
	uint64_t n = b->step == WHOLE ? b->config.bytes : 0;
	int put = snprintf(to.target + used, sizeof to.target - used,
			   "%cdigest=%s", strchr(to.target, '?') ? '&' : '?',
			   digest_text(&b->config.digest, text));
	if ((size_t)put >= sizeof to.target - used) {
		err_set(&e, ERR_ENGINE, "the registry's Location is too long");
		fail(b, &e);
		return;
	}
	if (n)
		open_body(b, n);
	bool is_large = b->config.bytes > LIMIT_PUSH_CHUNK_BYTES;
	struct fetch_upload up = { .method = "PUT",
				   .content_type = "application/octet-stream",
				   .stream_bytes = n,
				   .silence_ms = is_large ? LIMIT_PUSH_COMMIT_MS
							  : 0 };
	request(b, &(struct fetch_request){
			   .path = "", .location = &to, .upload = &up });
}

static void next(struct push_blob *b)
{
	static void (*const starts[])(struct push_blob *) = {
		[LOOK] = start_look,   [SEEK] = start_seek,
		[MOUNT] = start_post,  [BEGIN] = start_post,
		[CHUNK] = start_chunk, [COMMIT] = start_put,
		[WHOLE] = start_put,   [ASK] = start_ask,
		[CHECK] = start_look,
	};
	starts[b->step](b);
}

struct push_blob *push_blob_start(const struct push_blob_config *c,
				  push_blob_fn fn, void *ctx)
{
	struct push_blob *b = xcalloc(1, sizeof *b);
	b->config = *c;
	b->config.registry = registry_hold(c->registry);
	b->config.path = xstrdup(c->path);
	b->place =
		xasprintf("%s/%s", c->registry->name, c->registry->repository);
	b->fn = fn;
	b->ctx = ctx;
	b->chunk = LIMIT_PUSH_CHUNK_BYTES;
	timer_init(&b->pause, c->registry->all->loop, on_pause_over, b);
	go(b, LOOK);
	return b;
}

void push_blob_cancel(struct push_blob *b)
{
	destroy(b);
}

uint64_t push_blob_there(const struct push_blob *b)
{
	return b->there + b->taken;
}

bool push_blob_is_sent(const struct push_blob *b)
{
	return b->has_upload || b->there;
}
