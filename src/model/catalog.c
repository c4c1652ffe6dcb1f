/* A snapshot is what models.json said, with two tables to search it by; it is
 * replaced as a whole when the file has another stamp. Details are what a
 * model's manifest and config say: they are read without the lock, hang on the
 * snapshot's entries, move over to the next snapshot, and the least recently
 * used ones go when they take too much memory. */
#include "model/catalog.h"
#include "base/list.h"
#include "base/log.h"
#include "model/card.h"

#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

/* A file changed again within one tick of the file system's clock may look the
 * same; one so young is read again by the next catalog_refresh(). */
#define TICK_NS 50000000
/* Models that one catalog_refresh() looks at: some 20 ms. */
#define REFRESH_MODELS 256

struct details {
	struct list link;	    /* in catalog.lru, the most recent first */
	struct entry *entry;	    /* that it hangs on */
	struct arena arena;	    /* owns the model's texts */
	size_t bytes;		    /* about what it takes */
	struct catalog_model model; /* without tags */
};

struct entry {
	const struct index_model *listed;
	struct details *details; /* owned; NULL: not read yet */
};

struct name {
	const char *tag;
	struct entry *entry;
};

struct snapshot {
	struct index *x;       /* owned */
	struct entry *entries; /* owned, as in the index */
	struct entry **by_id;  /* owned, sorted */
	struct name *names;    /* owned, sorted by tag */
	size_t n_names;
};

struct catalog {
	struct store *store;
	char *default_registry; /* owned; NULL: docker.io */
	pthread_mutex_t mutex;	/* guards what follows */
	struct store_stamp stamp;
	bool is_settled; /* the stamp was old enough to be trusted */
	uint64_t begun;	 /* how often somebody began to read the index */
	uint64_t shown;	 /* which of these `now` is; 0: none yet */
	struct snapshot now;
	struct list lru; /* details.link */
	size_t cached_bytes;
};

/* ---- details ---- */

static void details_free(struct details *d)
{
	if (d)
		arena_fini(&d->arena);
	free(d);
}
BASE_AUTO(details);

static int details_read(struct store *s, const struct digest *id,
			struct details **out, struct err *e)
{
	auto_(details) d = xcalloc(1, sizeof *d);
	list_init(&d->link);
	arena_init(&d->arena);
	if (card_read(s, id, &d->arena, &d->model, e))
		return -1;
	const struct catalog_model *m = &d->model;
	d->bytes = sizeof *d + 1024 + m->config.n +
		   200 * (m->n_weights + m->n_licences);
	*out = steal(&d);
	return 0;
}

/* ---- the snapshot ---- */

static int by_id(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;
	return strcmp((*x)->listed->id.hex, (*y)->listed->id.hex);
}

static int by_tag(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	return strcmp(x->tag, y->tag);
}

static struct snapshot snapshot_make(struct index *x)
{
	struct snapshot s = { .x = x };
	size_t n_tags = 0;
	for (size_t i = 0; i < x->n; i++)
		n_tags += x->models[i].n_tags;
	s.entries = xcalloc(x->n + 1, sizeof *s.entries);
	s.by_id = xcalloc(x->n + 1, sizeof *s.by_id);
	s.names = xcalloc(n_tags + 1, sizeof *s.names);
	for (size_t i = 0; i < x->n; i++) {
		struct index_model *m = &x->models[i];
		s.entries[i].listed = m;
		s.by_id[i] = &s.entries[i];
		for (size_t k = 0; k < m->n_tags; k++)
			s.names[s.n_names++] =
				(struct name){ m->tags[k], &s.entries[i] };
	}
	qsort(s.by_id, x->n, sizeof *s.by_id, by_id);
	qsort(s.names, s.n_names, sizeof *s.names, by_tag);
	return s;
}

/* Full ids, or as many digits as there are. */
static struct entry *find_id(const struct snapshot *s, const char *hex)
{
	size_t low = 0, high = s->x ? s->x->n : 0, n = strlen(hex);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strncmp(s->by_id[mid]->listed->id.hex, hex, n) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (!s->x || low == s->x->n ||
	    strncmp(s->by_id[low]->listed->id.hex, hex, n) != 0)
		return NULL;
	return s->by_id[low];
}

static struct entry *find_tag(const struct snapshot *s, const char *tag)
{
	struct name want = { tag, NULL };
	const struct name *hit = s->n_names
					 ? bsearch(&want, s->names, s->n_names,
						   sizeof want, by_tag)
					 : NULL;
	return hit ? hit->entry : NULL;
}

/* "smollm2" for "docker.io/ai/smollm2:latest". */
static struct str last_part(const char *tag)
{
	struct str s = str_of(tag);
	s = str_tail(s, (size_t)(str_find_last(s, '/') + 1));
	ptrdiff_t colon = str_find(s, ':');
	return colon < 0 ? s : str_head(s, (size_t)colon);
}

static struct entry *find_part(const struct snapshot *s, struct str part)
{
	for (size_t i = 0; s->x && i < s->x->n; i++) {
		const struct index_model *m = s->entries[i].listed;
		for (size_t k = 0; k < m->n_tags; k++) {
			struct str have = last_part(m->tags[k]);
			if (have.n == part.n &&
			    strncasecmp(have.p, part.p, part.n) == 0)
				return &s->entries[i];
		}
	}
	return NULL;
}

static void drop(struct catalog *c, struct details *d)
{
	list_remove(&d->link);
	c->cached_bytes -= d->bytes;
	d->entry->details = NULL;
	details_free(d);
}

static void hang(struct catalog *c, struct entry *entry, struct details *d)
{
	d->entry = entry;
	entry->details = d;
	list_push_front(&c->lru, &d->link);
	c->cached_bytes += d->bytes;
	while (c->cached_bytes > LIMIT_CATALOG_CACHE_BYTES &&
	       c->lru.prev != &d->link)
		drop(c, container_of(c->lru.prev, struct details, link));
}

static void snapshot_fini(struct snapshot *s)
{
	index_free(s->x);
	free(s->entries);
	free(s->by_id);
	free(s->names);
}

static void replace(struct catalog *c, struct snapshot next)
{
	list_each (link, &c->lru) {
		struct details *d = container_of(link, struct details, link);
		struct entry *entry = find_id(&next, d->model.id.hex);
		if (!entry) {
			drop(c, d);
			continue;
		}
		d->entry = entry;
		entry->details = d;
	}
	snapshot_fini(&c->now);
	c->now = next;
}

static bool is_old(const struct store_stamp *stamp)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	int64_t age =
		(int64_t)t.tv_sec * 1000000000 + t.tv_nsec - stamp->changed_ns;
	return age > TICK_NS || age < -TICK_NS;
}

/* Is `now` what this stamp is of? A young stamp may be of two states: only who
 * is not `strict` takes it. */
static bool is_known(struct catalog *c, const struct store_stamp *stamp,
		     bool strict)
{
	pthread_mutex_lock(&c->mutex);
	bool is = c->shown && (c->is_settled || !strict) &&
		  memcmp(stamp, &c->stamp, sizeof *stamp) == 0;
	pthread_mutex_unlock(&c->mutex);
	return is;
}

/* Makes the snapshot true. It is read without the lock, so that nobody waits
 * for it; of two that read at one time the later one is shown. */
static int refresh(struct catalog *c, bool strict, struct err *e)
{
	struct store_stamp stamp;
	struct index *x;
	if (store_stamp(c->store, &stamp, e))
		return -1;
	if (is_known(c, &stamp, strict))
		return 0;
	bool is_settled = is_old(&stamp);
	pthread_mutex_lock(&c->mutex);
	uint64_t number = ++c->begun;
	pthread_mutex_unlock(&c->mutex);
	if (store_index(c->store, &x, e))
		return -1;
	struct snapshot next = snapshot_make(x);
	pthread_mutex_lock(&c->mutex);
	if (number > c->shown) {
		replace(c, next);
		c->shown = number;
		c->stamp = stamp;
		c->is_settled = is_settled;
	} else {
		snapshot_fini(&next);
	}
	pthread_mutex_unlock(&c->mutex);
	return 0;
}

/* ---- copies for the caller ---- */

static const char *copy_text(struct arena *a, const char *z)
{
	return z ? arena_str(a, str_of(z)) : NULL;
}

static const char *const *copy_list(struct arena *a, const char *const *list,
				    size_t n)
{
	const char **out = arena_alloc(a, n * sizeof *out);
	for (size_t i = 0; i < n; i++)
		out[i] = arena_str(a, str_of(list[i]));
	return out;
}

static void copy(const struct entry *entry, struct arena *a,
		 struct catalog_model *m)
{
	const struct catalog_model *from = &entry->details->model;
	*m = *from;
	m->n_tags = entry->listed->n_tags;
	m->tags = copy_list(a, entry->listed->tags, m->n_tags);
	m->format = copy_text(a, from->format);
	m->architecture = copy_text(a, from->architecture);
	m->parameters = copy_text(a, from->parameters);
	m->quantization = copy_text(a, from->quantization);
	m->size = copy_text(a, from->size);
	m->config.p = arena_str(a, from->config);
	m->weights = copy_list(a, from->weights, from->n_weights);
	m->mmproj = copy_text(a, from->mmproj);
	m->chat_template = copy_text(a, from->chat_template);
	m->licences = copy_list(a, from->licences, from->n_licences);
}

/* ---- the public part ---- */

struct catalog *catalog_new(struct store *s, const char *default_registry)
{
	struct catalog *c = xcalloc(1, sizeof *c);
	c->store = s;
	c->default_registry =
		default_registry ? xstrdup(default_registry) : NULL;
	pthread_mutex_init(&c->mutex, NULL);
	list_init(&c->lru);
	return c;
}

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	list_each (link, &c->lru)
		details_free(container_of(link, struct details, link));
	snapshot_fini(&c->now);
	pthread_mutex_destroy(&c->mutex);
	free(c->default_registry);
	free(c);
}

const char *catalog_registry(const struct catalog *c)
{
	return c->default_registry ? c->default_registry : "docker.io";
}

int catalog_ref(const struct catalog *c, struct str name, struct ref *out,
		struct err *e)
{
	return ref_parse(name, c->default_registry, out, e);
}

/* Copies the model if its details are known. Holds the lock. */
static bool get_known(struct catalog *c, const struct entry *entry,
		      struct arena *a, struct catalog_model *out)
{
	struct details *d = entry->details;
	if (!d)
		return false;
	list_remove(&d->link);
	list_push_front(&c->lru, &d->link);
	copy(entry, a, out);
	return true;
}

static bool has_room(const struct catalog *c, const struct details *d)
{
	return c->cached_bytes + d->bytes <= LIMIT_CATALOG_CACHE_BYTES;
}

/* Copies the model whose details were read just now. One of a long list takes
 * nobody's place in the cache. Holds the lock. */
static void get_read(struct catalog *c, struct entry *entry, struct details **d,
		     bool in_list, struct arena *a, struct catalog_model *out)
{
	if (!entry->details && in_list && !has_room(c, *d)) {
		entry->details = *d;
		copy(entry, a, out);
		entry->details = NULL;
		return;
	}
	if (!entry->details)
		hang(c, entry, steal(d));
	get_known(c, entry, a, out);
}

/* The model that the last refresh knew by this id. */
static int get(struct catalog *c, const struct digest *id, bool in_list,
	       struct arena *a, struct catalog_model *out, struct err *e)
{
	auto_(details) d = NULL;
	pthread_mutex_lock(&c->mutex);
	struct entry *entry = find_id(&c->now, id->hex);
	bool is_known = entry && get_known(c, entry, a, out);
	pthread_mutex_unlock(&c->mutex);
	if (is_known || !entry)
		return is_known ? 0 : CATALOG_ABSENT;

	int result = details_read(c->store, id, &d, e);
	/* A model deleted meanwhile is absent, not broken. */
	struct err why;
	if (result && refresh(c, false, &why))
		*e = why;
	pthread_mutex_lock(&c->mutex);
	entry = find_id(&c->now, id->hex);
	if (!entry)
		result = CATALOG_ABSENT;
	else if (result == 0)
		get_read(c, entry, &d, in_list, a, out);
	pthread_mutex_unlock(&c->mutex);
	return result;
}

static struct entry *look_up(const struct catalog *c, const struct ref *r,
			     struct str name, enum catalog_match match)
{
	char tag[REF_TEXT_BYTES];
	struct entry *entry;
	if (r->kind == REF_ID)
		return find_id(&c->now, r->digest.hex);
	if (r->kind == REF_SHORT_ID)
		return find_id(&c->now, r->short_id);
	entry = find_tag(&c->now, ref_text(r, tag));
	name = str_trim(name);
	bool is_bare = str_find(name, '/') < 0 && str_find(name, ':') < 0;
	if (entry || match == CATALOG_STRICT || !is_bare)
		return entry;
	return find_part(&c->now, name);
}

int catalog_find(struct catalog *c, struct str name, enum catalog_match match,
		 struct arena *a, const struct catalog_model **out,
		 struct err *e)
{
	struct ref r;
	struct err why;
	struct digest id = { 0 };
	/* Nothing has a name that cannot be one. */
	if (catalog_ref(c, name, &r, &why))
		return CATALOG_ABSENT;
	if (refresh(c, false, e))
		return -1;
	pthread_mutex_lock(&c->mutex);
	const struct entry *entry = look_up(c, &r, name, match);
	if (entry)
		id = entry->listed->id;
	pthread_mutex_unlock(&c->mutex);
	if (!entry)
		return CATALOG_ABSENT;
	struct catalog_model *m = arena_alloc(a, sizeof *m);
	*out = m;
	return get(c, &id, false, a, m, e);
}

/* The ids of all models, in the index's order; or of so many that nobody looked
 * at yet. */
static size_t list_ids(struct catalog *c, bool only_new, size_t most,
		       struct digest **out)
{
	size_t n = 0;
	pthread_mutex_lock(&c->mutex);
	size_t all = c->now.x ? c->now.x->n : 0;
	*out = xcalloc(MIN(all, most) + 1, sizeof **out);
	for (size_t i = 0; i < all && n < most; i++)
		if (!only_new || !c->now.entries[i].details)
			(*out)[n++] = c->now.entries[i].listed->id;
	pthread_mutex_unlock(&c->mutex);
	return n;
}

bool catalog_is_fresh(struct catalog *c)
{
	struct store_stamp stamp;
	struct err unused;
	/* A store that cannot be asked is the look-up's to tell. */
	return store_stamp(c->store, &stamp, &unused) ||
	       is_known(c, &stamp, true);
}

int catalog_refresh(struct catalog *c, struct err *e)
{
	auto_free struct digest *ids = NULL;
	if (refresh(c, true, e))
		return -1;
	size_t n = list_ids(c, true, REFRESH_MODELS, &ids);
	for (size_t i = 0; i < n; i++) {
		struct err unused;
		struct arena a;
		struct catalog_model m;
		arena_init(&a);
		(void)!get(c, &ids[i], true, &a, &m, &unused);
		arena_fini(&a);
	}
	return 0;
}

int catalog_list(struct catalog *c, struct arena *a,
		 const struct catalog_model **out, size_t *out_n, struct err *e)
{
	auto_free struct digest *ids = NULL;
	size_t kept = 0;
	if (refresh(c, true, e))
		return -1;
	size_t n = list_ids(c, false, SIZE_MAX, &ids);
	struct catalog_model *models = arena_alloc(a, n * sizeof *models);
	for (size_t i = 0; i < n; i++) {
		struct err why;
		int outcome = get(c, &ids[i], true, a, &models[kept], &why);
		if (outcome == 0)
			kept++;
		else if (outcome < 0)
			log_warn("model left out of the list error=%s",
				 why.msg);
	}
	*out = models;
	*out_n = kept;
	return 0;
}
