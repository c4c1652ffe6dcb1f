/* mapped.h - pages of a mapped file that are not needed for now. */
#pragma once

/* Once, while /proc can be read. Without it the other does nothing. */
void mapped_open(void);

/* Takes the file's pages out of this process's memory where it is mapped as
 * shared and to be read only; they come back by themselves, from the page
 * cache. */
void mapped_forget(const char *path);
