#include "cli/layers.h"
#include "base/json.h"
#include "base/limits.h"
#include "cli/human.h"
#include "cli/term.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_BYTES 65536
#define COLUMNS 80
/* Of a bar: id, status and sizes stand around it. */
#define BAR_MIN 10
#define BAR_MAX 50
#define AROUND_BAR 52

struct layer_shown {
	char id[13];
	uint64_t bytes, there;
};

struct layers_words {
	const char *moved, *moving, *done;
};
static const struct layers_words pull = { "Downloaded", "Downloading",
					  "Pull complete" };
static const struct layers_words push = { "Uploaded", "Uploading",
					  "Push complete" };

void layers_init(struct layers *l, FILE *out)
{
	struct winsize size;
	*l = (struct layers){ .out = out,
			      .words = &pull,
			      .is_tty = isatty(fileno(out)),
			      .columns = COLUMNS };
	if (l->is_tty && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 &&
	    size.ws_col)
		l->columns = size.ws_col;
	buf_init(&l->line, LINE_BYTES);
}

void layers_fini(struct layers *l)
{
	buf_fini(&l->line);
	free(l->all);
	free(l->message);
	free(l->told);
}

/* ---- drawing ---- */

static void put_bar(const struct layers *l, const struct layer_shown *s)
{
	char there[HUMAN_BYTES], all[HUMAN_BYTES], bar[BAR_MAX + 1];
	int width = MAX(BAR_MIN, MIN(BAR_MAX, l->columns - AROUND_BAR));
	bool is_done = s->there >= s->bytes;
	if (is_done || !s->there) {
		fprintf(l->out, "%s: %-13s\033[K\n", s->id,
			is_done ? l->words->done : "Waiting");
		return;
	}
	int full = (int)((double)s->there / (double)s->bytes * width);
	memset(bar, ' ', (size_t)width);
	memset(bar, '=', (size_t)full);
	bar[MIN(full, width - 1)] = '>';
	bar[width] = '\0';
	human_size((double)s->there, there);
	human_size((double)s->bytes, all);
	fprintf(l->out, "%s: %-13s [%s] %s/%s\033[K\n", s->id, l->words->moving,
		bar, there, all);
}

static void draw(struct layers *l)
{
	if (l->drawn)
		fprintf(l->out, "\033[%zuA", l->drawn);
	for (size_t i = 0; i < l->n; i++)
		put_bar(l, &l->all[i]);
	l->drawn = l->n;
	fflush(l->out);
}

uint64_t layers_there(const struct layers *l)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < l->n; i++)
		sum += l->all[i].there;
	return sum;
}

static void put_sum(struct layers *l)
{
	char there[HUMAN_BYTES], all[HUMAN_BYTES];
	uint64_t total = 0;
	for (size_t i = 0; i < l->n; i++)
		total += l->all[i].bytes;
	human_size((double)layers_there(l), there);
	/* A push says of each layer only how large that one is. */
	human_size((double)MAX(l->total, total), all);
	char *text = xasprintf("%s %s of %s", l->words->moved, there, all);
	if (!l->told || strcmp(text, l->told) != 0)
		fprintf(l->out, "%s\n", text);
	fflush(l->out);
	free(l->told);
	l->told = text;
}

/* ---- events ---- */

static struct layer_shown *find(struct layers *l, struct str id)
{
	if (str_starts(id, "sha256:"))
		id = str_tail(id, 7);
	id = str_head(id, 12);
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(id, l->all[i].id))
			return &l->all[i];
	if (l->n == LIMIT_LAYERS)
		return NULL;
	l->all = xrealloc(l->all, (l->n + 1) * sizeof *l->all);
	struct layer_shown *s = &l->all[l->n++];
	*s = (struct layer_shown){ .bytes = 0 };
	auto_free char *shown = term_cell(id);
	snprintf(s->id, sizeof s->id, "%s", shown);
	return s;
}

static void on_progress(struct layers *l, const json_t *event, struct str text)
{
	struct str id = { NULL, 0 }, mode = STR("");
	int64_t bytes = 0, there = 0, total = 0;
	struct err unused;
	const json_t *layer = json_object_get(event, "layer");
	if (!json_is_object(layer) || json_get_str(layer, "id", &id, &unused) ||
	    json_get_int(layer, "size", 0, INT64_MAX, &bytes, &unused) ||
	    json_get_int(layer, "current", 0, INT64_MAX, &there, &unused) ||
	    json_get_int(event, "total", 0, INT64_MAX, &total, &unused))
		return;
	if (!id.n) {
		auto_free char *words = term_cell(text);
		fprintf(l->out, "%s\n", words);
		l->drawn = 0; /* the bars go on below */
		fflush(l->out);
		return;
	}
	if (json_get_str(event, "mode", &mode, &unused) == 0 &&
	    str_eq(mode, "push"))
		l->words = &push;
	struct layer_shown *s = find(l, id);
	if (!s)
		return;
	s->bytes = (uint64_t)bytes;
	s->there = (uint64_t)MIN(there, bytes);
	l->total = (uint64_t)total;
	if (l->is_tty)
		draw(l);
	else
		put_sum(l);
}

static int on_event(struct layers *l, struct str line, struct err *e)
{
	auto_json *event = NULL;
	struct str type = { NULL, 0 }, text = STR("");
	struct err unused;
	/* What is not an event is not ours to understand. */
	if (json_parse(line, &event, &unused) || !json_is_object(event) ||
	    json_get_str(event, "type", &type, &unused) || !type.n ||
	    json_get_str(event, "message", &text, &unused))
		return 0;
	auto_free char *words = term_cell(text);
	bool is_passing = json_is_true(json_object_get(event, "retry"));
	if (str_eq(type, "error"))
		return err_set(e, is_passing ? ERR_UNAVAILABLE : ERR_INTERNAL,
			       "%s", words);
	if (str_eq(type, "warning"))
		fprintf(stderr, "Warning: %s\n", words);
	else if (str_eq(type, "success")) {
		free(l->message);
		l->message = steal(&words);
	} else if (str_eq(type, "progress"))
		on_progress(l, event, text);
	return 0;
}

static int put(struct layers *l, struct str part, struct err *e)
{
	if (buf_put(&l->line, part.p, part.n))
		return err_set(e, ERR_INTERNAL,
			       "the server's progress cannot be read: a line "
			       "is too long");
	return 0;
}

int layers_feed(void *ctx, struct str piece, struct err *e)
{
	struct layers *l = ctx;
	ptrdiff_t end;
	while ((end = str_find(piece, '\n')) >= 0) {
		if (put(l, str_head(piece, (size_t)end), e) ||
		    on_event(l, buf_str(&l->line), e))
			return -1;
		buf_clear(&l->line);
		piece = str_tail(piece, (size_t)end + 1);
	}
	return put(l, piece, e);
}

int layers_end(struct layers *l, struct err *e)
{
	if (!l->message)
		return err_set(e, ERR_ENGINE,
			       "the server's answer ended without a result");
	fprintf(l->out, "%s\n", l->message);
	fflush(l->out);
	return 0;
}
