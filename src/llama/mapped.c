#include "llama/mapped.h"

#include "base/base.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static FILE *maps;

void mapped_open(void)
{
	maps = fopen("/proc/self/maps", "re");
}

/* A line of it (proc(5)): range, rights, offset, device, inode. */
static void forget_line(const char *line, uint64_t file)
{
	uintptr_t from, to;
	uint64_t inode;
	char rights[5];
	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %" SCNu64,
		   &from, &to, rights, &inode) == 4 &&
	    inode == file && strcmp(rights, "r--s") == 0)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void mapped_forget(const char *path)
{
	auto_free char *line = NULL;
	size_t cap = 0;
	struct stat st;
	auto_close int fd = maps ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &st))
		return;
	rewind(maps);
	while (getline(&line, &cap, maps) > 0)
		forget_line(line, st.st_ino);
}
