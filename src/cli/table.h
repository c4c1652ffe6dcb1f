/* table.h - tables in Docker's format: no borders, left-aligned, every cell
 * followed by two spaces, the header shown even above nothing.
 *
 * Cells are copied; what could move a terminal's cursor is taken out. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct table;

/* `titles` ends in NULL. */
struct table *table_new(const char *const titles[]);
void table_free(struct table *t);
BASE_AUTO(table);

/* The next cell; a row begins by itself when the one before is full. */
void table_put(struct table *t, struct str cell);
must_use int table_render(const struct table *t, struct buf *out);
/* To stdout. */
must_use int table_print(const struct table *t, struct err *e);
