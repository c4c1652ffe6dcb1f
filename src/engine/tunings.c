#include "engine/tunings.h"
#include "base/limits.h"
#include "base/log.h"
#include "oci/folder.h"

#include <pthread.h>

#define FILE_NAME "modeld-settings.json"

struct entry {
	char *model_id; /* owned */
	enum engine_mode mode;
	struct tuning tuning;
};

struct tunings {
	struct folder folder;
	struct entry *entries; /* owned */
	size_t n;
	uint64_t printed; /* the number of the last text */
	pthread_mutex_t writing;
	uint64_t written; /* guarded by `writing` */
};

static struct entry *find(const struct tunings *t, const char *model_id,
			  enum engine_mode mode)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].mode == mode &&
		    strcmp(t->entries[i].model_id, model_id) == 0)
			return &t->entries[i];
	return NULL;
}

const struct tuning *tunings_find(const struct tunings *t, const char *model_id,
				  enum engine_mode mode)
{
	const struct entry *en = find(t, model_id, mode);
	return en ? &en->tuning : NULL;
}

int tunings_set(struct tunings *t, const char *model_id, enum engine_mode mode,
		struct tuning *tuning, struct err *e)
{
	struct entry *en = find(t, model_id, mode);
	if (!en && t->n == LIMIT_TUNINGS)
		return err_set(e, ERR_CONFLICT,
			       "%d models have settings already; remove some: "
			       "docker model configure MODEL --reset",
			       LIMIT_TUNINGS);
	if (en) {
		tuning_fini(&en->tuning);
	} else {
		t->entries =
			xrealloc(t->entries, (t->n + 1) * sizeof *t->entries);
		en = &t->entries[t->n++];
		en->model_id = xstrdup(model_id);
		en->mode = mode;
	}
	en->tuning = *tuning;
	*tuning = (struct tuning){ 0 };
	return 0;
}

size_t tunings_remove(struct tunings *t, const char *model_id,
		      const enum engine_mode *mode)
{
	size_t kept = 0, n = t->n;
	for (size_t i = 0; i < n; i++) {
		struct entry *en = &t->entries[i];
		if (strcmp(en->model_id, model_id) != 0 ||
		    (mode && *mode != en->mode)) {
			t->entries[kept++] = *en;
			continue;
		}
		free(en->model_id);
		tuning_fini(&en->tuning);
	}
	t->n = kept;
	return n - kept;
}

void tunings_each(const struct tunings *t, tunings_fn fn, void *ctx)
{
	for (size_t i = 0; i < t->n; i++)
		fn(ctx, t->entries[i].model_id, t->entries[i].mode,
		   &t->entries[i].tuning);
}

/* ---- the file ---- */

static int take_entry(struct tunings *t, const json_t *j, struct err *e)
{
	struct str id = { 0 }, word = { 0 };
	struct tuning tuning = { 0 };
	enum engine_mode mode, unused;
	if (json_get_str(j, "ModelID", &id, e) ||
	    json_get_str(j, "Mode", &word, e))
		return -1;
	if (!str_starts(id, "sha256:") || !engine_mode_parse(word, &mode))
		return err_set(e, ERR_CORRUPT, "an entry without a model");
	int got =
		tuning_parse(json_object_get(j, "Config"), &tuning, &unused, e);
	if (got >= 0)
		got = tunings_set(t, id.p, mode, &tuning, e);
	tuning_fini(&tuning);
	return got;
}

static int read_file(struct tunings *t, struct err *e)
{
	auto_buf struct buf text;
	auto_json *all = NULL;
	size_t i;
	json_t *j;
	buf_init(&text, LIMIT_TUNINGS_BYTES);
	int got = folder_read(&t->folder, FILE_NAME, &text, e);
	if (got)
		return got == FOLDER_ABSENT ? 0 : -1;
	if (json_parse(buf_str(&text), &all, e))
		return -1;
	json_array_foreach(all, i, j)
	{
		if (take_entry(t, j, e))
			log_warn("a model's settings are not used error=\"%s\"",
				 e->msg);
	}
	return 0;
}

struct tunings *tunings_open(const char *store)
{
	struct tunings *t = xcalloc(1, sizeof *t);
	struct err e;
	pthread_mutex_init(&t->writing, NULL);
	t->folder.fd = -1;
	if (folder_open(store, &t->folder, &e) || read_file(t, &e))
		log_warn("models' settings cannot be read error=\"%s\"", e.msg);
	return t;
}

void tunings_free(struct tunings *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->entries[i].model_id);
		tuning_fini(&t->entries[i].tuning);
	}
	free(t->entries);
	folder_close(&t->folder);
	pthread_mutex_destroy(&t->writing);
	free(t);
}

struct tunings_text tunings_print(struct tunings *t)
{
	auto_json *all = json_array();
	for (size_t i = 0; i < t->n; i++) {
		const struct entry *en = &t->entries[i];
		json_array_append_new(
			all, json_pack("{s:s,s:s,s:O}", "ModelID", en->model_id,
				       "Mode", engine_mode_name(en->mode),
				       "Config", en->tuning.config));
	}
	return (struct tunings_text){ json_text(all), ++t->printed };
}

void tunings_write(struct tunings *t, struct tunings_text *text)
{
	struct err e;
	pthread_mutex_lock(&t->writing);
	if (text->number > t->written) {
		t->written = text->number;
		if (folder_make(&t->folder, "", &e) ||
		    folder_write(&t->folder, "", FILE_NAME, str_of(text->text),
				 &e))
			log_warn("models' settings hold until modeld ends, "
				 "they cannot be written error=\"%s\"",
				 e.msg);
	}
	pthread_mutex_unlock(&t->writing);
	free(text->text);
	text->text = NULL;
}
