#include "hub/hub_pull.h"
#include "hub/hub_model.h"
#include "hub/hub_words.h"
#include "oci/blob.h"
#include "oci/document.h"

#include <fcntl.h>
#include <stdio.h>

#define LIST_ACCEPT "application/json"

struct hub_pull {
	struct pull *pull;
	struct registry_set *registries;
	struct weburl endpoint;
	char *repository, *tag, *revision; /* owned */
	char *token, *token_file;	   /* owned, or NULL */
	struct registry *registry;	   /* held */
	struct document *document;	   /* being fetched */
	bool has_local;
	struct digest local;
	struct listing_revision at;
	struct listing listing;
	int pages;
	struct selection files;
	struct digest *digests; /* owned; one a file, "": not known yet */
	size_t next;		/* file that may be a small one */
	struct buf small;	/* its bytes */
	bool is_same;		/* what is here, as what is there */
};

static void ask_page(struct hub_pull *h, const char *path);
static void next_small(struct hub_pull *h);

static void get(struct hub_pull *h, const char *path, const char *accept,
		size_t max_bytes, document_fn fn)
{
	h->document = document_get(
		h->registry,
		&(struct document_request){ .path = path,
					    .accept = accept,
					    .field = "Link",
					    .max_bytes = max_bytes },
		fn, h);
}

/* With the name of the repository, which the person may have spelt otherwise.
 */
static void fail(struct hub_pull *h, struct err *e)
{
	err_wrap(e, "%s", h->repository);
	pull_fail(h->pull, e);
}

/* ---- 1. the token ---- */

static int read_token(void *ctx, struct err *e)
{
	struct hub_pull *h = ctx;
	auto_buf struct buf text;
	auto_close int fd = open(h->token_file, O_RDONLY | O_CLOEXEC);
	(void)e;
	buf_init(&text, LIMIT_HUB_TOKEN_BYTES);
	/* Without it, what is public is there still. */
	if (fd < 0 || buf_read(&text, fd))
		return 0;
	struct str s = buf_str(&text);
	while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s = str_head(s, s.n - 1);
	s = str_trim(s);
	if (s.n)
		h->token = str_dup(s);
	return 0;
}

/* ---- 2. the commit ---- */

static void on_revision(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e)
{
	struct hub_pull *h = ctx;
	struct err why;
	h->document = NULL;
	if (outcome) {
		why = *e;
		if (why.code == ERR_NOT_FOUND && strcmp(h->revision, "main"))
			err_wrap(&why, "revision %s", h->revision);
		pull_fail_or_use_local(h->pull, &why);
		return;
	}
	if (listing_parse_revision(a->body, &h->at, &why)) {
		fail(h, &why);
		return;
	}
	if (h->at.repository[0]) { /* it may have moved */
		free(h->repository);
		h->repository = xstrdup(h->at.repository);
	}
	auto_free char *path = xasprintf("api/models/%s/tree/%s?recursive=true",
					 h->repository, h->at.commit.hex);
	ask_page(h, path);
}

static void ask_revision(struct hub_pull *h)
{
	auto_free char *path = xasprintf("api/models/%s/revision/%s"
					 "?expand=sha&expand=lastModified",
					 h->repository, h->revision);
	get(h, path, LIST_ACCEPT, LIMIT_HUB_ANSWER_BYTES, on_revision);
}

static void open_place(struct hub_pull *h)
{
	struct err e;
	if (registry_open_url(h->registries, &h->endpoint, h->repository,
			      h->token, hub_words, &h->registry, &e))
		fail(h, &e);
	else
		ask_revision(h);
}

static void on_token(void *ctx, int outcome, const struct err *e)
{
	(void)outcome;
	(void)e;
	open_place(ctx);
}

/* What an earlier round has found: the model may be gone since. */
static void forget(struct hub_pull *h)
{
	listing_fini(&h->listing);
	listing_init(&h->listing);
	selection_fini(&h->files);
	free(h->digests);
	h->digests = NULL;
	h->pages = 0;
	h->next = 0;
}

static void ask(void *src, const struct digest *local)
{
	struct hub_pull *h = src;
	struct err e;
	forget(h);
	h->has_local = local;
	if (local)
		h->local = *local;
	if (pull_ref(h->pull)->kind == REF_ID) {
		err_set(&e, ERR_NOT_FOUND,
			"a hub knows no digests: give a commit or a tag "
			"(%s@REVISION)",
			h->repository);
		pull_fail(h->pull, &e);
	} else if (h->registry) {
		ask_revision(h);
	} else if (!h->token && h->token_file) {
		pull_work(h->pull, read_token, on_token);
	} else {
		open_place(h);
	}
}

/* ---- 3. the files ---- */

/* What comes after the endpoint, on whatever host a mirror says that it is: we
 * ask no other than the one that we were told. NULL: it is elsewhere. */
static char *next_path(const struct hub_pull *h, struct str link)
{
	static const char api[] = "/api/models/";
	struct weburl url;
	struct err unused;
	if (weburl_resolve(&h->endpoint, link, &url, &unused))
		return NULL;
	struct str target = str_of(url.target);
	size_t base = strlen(h->endpoint.target);
	while (base && h->endpoint.target[base - 1] == '/')
		base--;
	if (base && strncmp(url.target, h->endpoint.target, base) == 0 &&
	    url.target[base] == '/')
		target = str_tail(target, base);
	return str_starts(target, api) ? str_dup(str_tail(target, 1)) : NULL;
}

static int take_page(struct hub_pull *h, const struct document_answer *a,
		     char **next, struct err *e)
{
	struct str link;
	*next = NULL;
	if (listing_add(&h->listing, a->body, e))
		return -1;
	if (!listing_next(a->field, &link))
		return 0;
	if (++h->pages == LIMIT_HUB_PAGES)
		return err_set(e, ERR_UNSUPPORTED,
			       "its list of files has more than %d pages",
			       LIMIT_HUB_PAGES);
	*next = next_path(h, link);
	if (*next)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "the hub's list of files goes on at a place that is no "
		       "list");
}

static int compare(void *ctx, struct err *e)
{
	struct hub_pull *h = ctx;
	(void)e;
	h->is_same =
		hub_model_is_same(pull_store(h->pull), &h->local, &h->files);
	return 0;
}

static void tell_files(struct hub_pull *h)
{
	char text[200];
	if (h->files.what[0]) {
		snprintf(text, sizeof text, "Selected %s", h->files.what);
		pull_tell(h->pull, text);
	}
	snprintf(text, sizeof text, "Found %zu file%s (%.2f MB total)",
		 h->files.n, h->files.n == 1 ? "" : "s",
		 (double)h->files.bytes / (1 << 20));
	pull_tell(h->pull, text);
	if (!h->files.is_gguf)
		pull_warn(h->pull,
			  "this model is in safetensors files, which llama.cpp "
			  "does not run: it is stored as it is; a GGUF version "
			  "of it would run");
}

static void begin_files(struct hub_pull *h)
{
	tell_files(h);
	next_small(h);
}

static void on_compared(void *ctx, int outcome, const struct err *e)
{
	struct hub_pull *h = ctx;
	(void)outcome;
	(void)e;
	if (h->is_same)
		pull_use_local(h->pull);
	else
		begin_files(h);
}

static void on_files(struct hub_pull *h)
{
	struct err e;
	if (listing_end(&h->listing, &e) ||
	    selection_make(&h->listing, h->tag, &h->files, &e)) {
		fail(h, &e);
		return;
	}
	h->digests = xcalloc(h->files.n + 1, sizeof *h->digests);
	if (h->has_local)
		pull_work(h->pull, compare, on_compared);
	else
		begin_files(h);
}

static void on_page(void *ctx, int outcome, const struct document_answer *a,
		    const struct err *e)
{
	struct hub_pull *h = ctx;
	struct err why;
	auto_free char *next = NULL;
	h->document = NULL;
	if (outcome)
		pull_fail_or_use_local(h->pull, e);
	else if (take_page(h, a, &next, &why))
		fail(h, &why);
	else if (next)
		ask_page(h, next);
	else
		on_files(h);
}

static void ask_page(struct hub_pull *h, const char *path)
{
	get(h, path, LIST_ACCEPT, LIMIT_HUB_ANSWER_BYTES, on_page);
}

/* ---- 4. the small files, which have no SHA-256 yet ---- */

static char *path_of(const struct hub_pull *h, const struct listing_file *f)
{
	auto_free char *escaped = listing_escape(f->path);
	return xasprintf("%s/resolve/%s/%s", h->repository, h->at.commit.hex,
			 escaped);
}

static int put_small(void *ctx, struct err *e)
{
	struct hub_pull *h = ctx;
	return blob_put(pull_store(h->pull), &h->digests[h->next],
			buf_str(&h->small), e);
}

static void on_small_put(void *ctx, int outcome, const struct err *e)
{
	struct hub_pull *h = ctx;
	(void)outcome;
	(void)e;
	h->next++;
	next_small(h);
}

static int check_small(const struct listing_file *f, struct str bytes,
		       struct err *e)
{
	if (bytes.n != f->bytes)
		return err_set(e, ERR_CORRUPT,
			       "%s has %zu bytes, the hub's list says %llu",
			       f->path, bytes.n, (unsigned long long)f->bytes);
	struct githash got = githash_of(bytes);
	if (strcmp(got.hex, f->git.hex) != 0)
		return err_set(e, ERR_CORRUPT,
			       "%s has the hash %s, the hub's list says %s",
			       f->path, got.hex, f->git.hex);
	return 0;
}

static void on_small(void *ctx, int outcome, const struct document_answer *a,
		     const struct err *e)
{
	struct hub_pull *h = ctx;
	const struct listing_file *f = h->files.all[h->next].file;
	struct err why;
	h->document = NULL;
	if (outcome) {
		pull_fail(h->pull, e);
		return;
	}
	auto_free char *path = path_of(h, f);
	h->digests[h->next] = digest_of(a->body);
	if (check_small(f, a->body, &why) ||
	    pull_want(h->pull, &h->digests[h->next], f->bytes, path, &why)) {
		fail(h, &why);
		return;
	}
	buf_clear(&h->small);
	if (buf_put(&h->small, a->body.p, a->body.n))
		abort(); /* as long as was asked for */
	pull_work(h->pull, put_small, on_small_put);
}

static void fetch_rest(struct hub_pull *h)
{
	struct err e;
	for (size_t i = 0; i < h->files.n; i++) {
		const struct listing_file *f = h->files.all[i].file;
		if (!f->sha256.hex[0])
			continue;
		auto_free char *path = path_of(h, f);
		h->digests[i] = f->sha256;
		if (pull_want(h->pull, &f->sha256, f->bytes, path, &e)) {
			fail(h, &e);
			return;
		}
	}
	pull_fetch(h->pull, h->registry, NULL);
}

static void next_small(struct hub_pull *h)
{
	struct err e;
	while (h->next < h->files.n &&
	       h->files.all[h->next].file->sha256.hex[0])
		h->next++;
	if (h->next == h->files.n) {
		buf_release(&h->small);
		fetch_rest(h);
		return;
	}
	const struct listing_file *f = h->files.all[h->next].file;
	if (f->bytes > LIMIT_HUB_SMALL_BYTES) {
		err_set(&e, ERR_UNSUPPORTED,
			"%s has no SHA-256 at the hub and is too large to go "
			"without",
			f->path);
		fail(h, &e);
		return;
	}
	auto_free char *path = path_of(h, f);
	get(h, path, NULL, (size_t)f->bytes + 1, on_small);
}

/* ---- begin and end ---- */

static int make(void *src, struct pull_model *m, struct err *e)
{
	struct hub_pull *h = src;
	return hub_model_make(pull_store(h->pull), &h->files, h->digests,
			      h->at.changed, m, e);
}

static void leave(void *src)
{
	struct hub_pull *h = src;
	if (h->document)
		document_cancel(steal(&h->document));
	registry_release(steal(&h->registry));
}

static void free_source(void *src)
{
	struct hub_pull *h = src;
	listing_fini(&h->listing);
	selection_fini(&h->files);
	buf_fini(&h->small);
	free(h->digests);
	free(h->repository);
	free(h->tag);
	free(h->revision);
	free(h->token);
	free(h->token_file);
	free(h);
}

const struct pull_source hub_pull_source = {
	.ask = ask, .make = make, .leave = leave, .free = free_source
};

static char *copy(const char *s)
{
	return s && s[0] ? xstrdup(s) : NULL;
}

struct hub_pull *hub_pull_new(const struct hub_pull_config *c)
{
	struct hub_pull *h = xcalloc(1, sizeof *h);
	h->registries = c->registries;
	h->endpoint = *c->endpoint;
	h->repository = xstrdup(c->repository);
	h->tag = xstrdup(c->tag);
	h->revision = xstrdup(c->revision);
	h->token = copy(c->token);
	h->token_file = copy(c->token_file);
	listing_init(&h->listing);
	buf_init(&h->small, LIMIT_HUB_SMALL_BYTES);
	return h;
}

void hub_pull_set(struct hub_pull *h, struct pull *p)
{
	h->pull = p;
}
