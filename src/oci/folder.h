/* folder.h - the folder of a store, and how files get into it so that a crash
 * never shows half of one: written under a temporary name, synced, renamed,
 * the folder synced. Knows nothing of what the files mean.
 *
 * Any thread; all paths are relative to the folder. Writing blocks on the
 * disk. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct folder {
	int fd;	    /* owned */
	char *path; /* owned, absolute */
	bool is_read_only;
};

enum folder_outcome { FOLDER_ABSENT = 1 };

/* What the names of files end in, or contain, that are not whole yet. */
#define FOLDER_INCOMPLETE ".incomplete"
#define FOLDER_TEMP ".tmp-"
/* Of any path inside. */
#define FOLDER_PATH_BYTES 200

/* Creates it, and what leads to it, if need be. */
must_use int folder_open(const char *path, struct folder *out, struct err *e);
void folder_close(struct folder *f);

/* Makes the folder `sub` ("" is the folder itself) be there. Fails in words
 * where nothing can be written: the first call of every change. */
must_use int folder_make(struct folder *f, const char *sub, struct err *e);
/* Appends the whole file. May give FOLDER_ABSENT. */
must_use int folder_read(struct folder *f, const char *path, struct buf *out,
			 struct err *e);
/* Writes a small file. */
must_use int folder_write(struct folder *f, const char *sub, const char *name,
			  struct str text, struct err *e);
/* Creates a file for writing that has no name yet worth having; its temporary
 * one, which must be removed if the file is not published, goes to `temp`. */
must_use int folder_create(struct folder *f, const char *sub, const char *name,
			   const char *ending, char temp[FOLDER_PATH_BYTES],
			   int *fd, struct err *e);
must_use int folder_publish(struct folder *f, int fd, const char *temp,
			    const char *sub, const char *name, struct err *e);
/* What has its name in `sub` keeps it, whoever gave it. */
must_use int folder_sync(struct folder *f, const char *sub, struct err *e);
void folder_remove(struct folder *f, const char *path);
/* With all that is in it. */
void folder_remove_tree(struct folder *f, const char *sub);

/* Waits until no other thread or process holds the lock; closing *fd gives it
 * back. */
must_use int folder_lock(struct folder *f, const char *name, int *fd,
			 struct err *e);
/* Does a file of this name hold something that is not whole yet? */
bool folder_is_unfinished(const char *name);
/* Removes files in `sub` that a crash left unfinished so long ago. */
void folder_sweep(struct folder *f, const char *sub, int older_than_s);
/* The bytes that any folder or file takes on the disk, as du(1) counts them; 0
 * for one that is not there. */
must_use int folder_usage(const char *path, uint64_t *out_bytes, struct err *e);
