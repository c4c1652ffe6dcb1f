#include "cli/table.h"
#include "base/limits.h"
#include "cli/term.h"

#include <assert.h>

struct table {
	size_t n_columns;
	size_t *widths; /* owned, one a column */
	char **cells;	/* owned, row after row, the titles first */
	size_t n_cells;
	size_t cap;
};

struct table *table_new(const char *const titles[])
{
	struct table *t = xcalloc(1, sizeof *t);
	while (titles[t->n_columns])
		t->n_columns++;
	t->widths = xcalloc(t->n_columns, sizeof *t->widths);
	for (size_t i = 0; i < t->n_columns; i++)
		table_put(t, str_of(titles[i]));
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->widths);
	free(t);
}

void table_put(struct table *t, struct str cell)
{
	size_t column = t->n_cells % t->n_columns;
	if (t->n_cells == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cells = xrealloc(t->cells, t->cap * sizeof *t->cells);
	}
	char *text = term_cell(cell);
	t->cells[t->n_cells++] = text;
	t->widths[column] = MAX(t->widths[column], term_width(str_of(text)));
}

int table_render(const struct table *t, struct buf *out)
{
	assert(t->n_cells % t->n_columns == 0);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t column = i % t->n_columns;
		size_t pad =
			t->widths[column] - term_width(str_of(t->cells[i]));
		bool is_last = column + 1 == t->n_columns;
		if (buf_printf(out, "%s%*s%s", t->cells[i], (int)pad + 2, "",
			       is_last ? "\n" : ""))
			return BUF_FULL;
	}
	return 0;
}

int table_print(const struct table *t, struct err *e)
{
	auto_buf struct buf out;
	buf_init(&out, LIMIT_REPLY_BODY_BYTES);
	if (table_render(t, &out))
		return err_set(e, ERR_TOO_LARGE, "the table is too long");
	term_put(buf_str(&out));
	return 0;
}
