/* tree.h - the files in a folder and in the folders below it, always in the
 * same order: by name, a folder's files at its place. Hidden files, symbolic
 * links and what is no file are left out. Blocks on the disk. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

struct tree {
	struct arena arena; /* owns the names */
	const char **names; /* owned; relative, with '/' */
	size_t n, cap;
	size_t n_links; /* symbolic links that were left out */
};

/* Fini it in both cases. */
must_use int tree_read(const char *dir, struct tree *out, struct err *e);
void tree_fini(struct tree *t);
