#include "llama/ceiling.h"

#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* What is wanted when memory is short is often larger: a buffer of ggml's, the
 * stack of a thread (8 MiB). */
#define NEAR_BYTES (64ull << 20)

static uint64_t most; /* 0: no ceiling */
static char text[160];

bool ceiling_is_near(void)
{
	if (!most)
		return false;
	void *p = mmap(NULL, NEAR_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return true;
	munmap(p, NEAR_BYTES);
	return false;
}

/* By calls only that are safe in a signal; then abort() goes on. */
static void on_abort(int sig)
{
	(void)sig;
	if (!ceiling_is_near())
		return;
	ssize_t n = write(STDERR_FILENO, text, strlen(text));
	(void)n;
	_exit(ERR_EXIT_MEMORY);
}

void ceiling_set(uint64_t bytes)
{
	struct rlimit now;
	if (getrlimit(RLIMIT_DATA, &now) < 0 || now.rlim_max <= bytes)
		return;
	struct rlimit next = { bytes, bytes };
	if (setrlimit(RLIMIT_DATA, &next) < 0)
		return;
	most = bytes;
	snprintf(text, sizeof text,
		 "out of memory: the engine may take %llu MiB, far more than "
		 "it should need\n",
		 (unsigned long long)bytes >> 20);
	signal(SIGABRT, on_abort);
}

void ceiling_explain(struct err *e)
{
	/* A context that the machine has no memory for is another matter. */
	bool is_refused = e->code == ERR_MEMORY && strstr(e->msg, "alloc");
	if (!most || (!is_refused && !ceiling_is_near()))
		return;
	e->code = ERR_MEMORY;
	size_t n = strlen(e->msg);
	snprintf(
		e->msg + n, sizeof e->msg - n,
		" (the engine may take %llu MiB, far more than it should need; "
		"--sandbox off is without this ceiling)",
		(unsigned long long)most >> 20);
}
