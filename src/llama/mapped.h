/* mapped.h - a model's file in memory, where it was copied.
 *
 * llama.cpp maps files, and weights that are packed are copies out of there:
 * then the mapping need not be in memory as well. What is read of it all the
 * same comes back by itself, from the page cache, and can be left again. */
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was copied of files; a plain value, {0} is nothing. */
struct mapped {
	struct mapped_part *parts; /* owned, in order */
	size_t n;
};

/* Once, while /proc can be read. Without it nothing is ever left. */
void mapped_open(void);

/* These bytes were copied, from wherever; on the thread that loads. */
void mapped_copied(const void *from, size_t size);
/* Of what was copied since the last call, that which lies in files mapped to be
 * read only and shared. It holds as long as they are mapped. */
void mapped_take(struct mapped *out);
/* Takes its pages out of this process's memory; on any thread. */
void mapped_forget(const struct mapped *m);
void mapped_fini(struct mapped *m);

#ifdef __cplusplus
}
#endif
