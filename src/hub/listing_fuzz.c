#include "hub/selection.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_files(const struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct listing_file *f = &l->all[i];
		auto_free char *escaped = listing_escape(f->path);
		assert(f->path[0] != '/' && !strstr(f->path, "//"));
		assert(strncmp(f->path, "../", 3) && !strstr(f->path, "/../"));
		assert(!!f->sha256.hex[0] != !!f->git.hex[0]);
		assert(f->bytes <= LIMIT_BLOB_BYTES);
		for (const char *p = escaped; *p; p++)
			assert(*p > ' ' && *p < 127 && *p != '?' && *p != '#');
	}
}

/* What was chosen is of the list, once, and has weights. */
static void check_selection(const struct listing *l, const struct selection *s)
{
	size_t weights = 0;
	assert(s->n && s->n <= l->n);
	for (size_t i = 0; i < s->n; i++) {
		assert(s->all[i].file >= l->all &&
		       s->all[i].file < l->all + l->n);
		weights += s->all[i].kind == MANIFEST_GGUF ||
			   s->all[i].kind == MANIFEST_SAFETENSORS;
		for (size_t k = 0; k < i; k++)
			assert(s->all[k].file != s->all[i].file);
	}
	assert(weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const tags[] = { "latest", "Q8_0", "M.gguf", "" };
	struct str text = { n ? (const char *)data : "", n }, next;
	struct listing_revision revision;
	struct listing l;
	struct err e;
	if (listing_next(text, &next))
		assert(next.p >= text.p && next.p + next.n < text.p + text.n);
	if (listing_parse_revision(text, &revision, &e) == 0)
		assert(strlen(revision.commit.hex) == 40 &&
		       (!revision.changed[0] ||
			strlen(revision.changed) == 20));
	listing_init(&l);
	int failed = listing_add(&l, text, &e);
	if (!failed && !listing_end(&l, &e)) {
		check_files(&l);
		for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
			struct selection s;
			if (selection_make(&l, tags[i], &s, &e) == 0)
				check_selection(&l, &s);
			selection_fini(&s);
		}
	}
	listing_fini(&l);
	return 0;
}
