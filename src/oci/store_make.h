/* store_make.h - a store in a temporary folder, for tests. */
#pragma once
#include "oci/store.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	char dir[32];
	struct store *store;
};

static inline int store_make(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	struct err e;
	snprintf(f->dir, sizeof f->dir, "/tmp/store-XXXXXX");
	if (!mkdtemp(f->dir) || store_open(f->dir, &f->store, &e))
		return -1;
	*state = f;
	return 0;
}

static inline int store_unmake(void **state)
{
	struct fixture *f = *state;
	store_free(f->store);
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", f->dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	free(f);
	return 0;
}

static inline char *store_make_file(const struct fixture *f, const char *name,
				    const void *p, size_t n)
{
	char *path = xasprintf("%s/%s", f->dir, name);
	FILE *file = fopen(path, "w");
	if (!file || fwrite(p, 1, n, file) != n || fclose(file))
		abort();
	return path;
}
