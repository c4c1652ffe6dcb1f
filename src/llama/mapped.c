#include "llama/mapped.h"

#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Less than this between two parts goes with them: a fault brings as much in
 * at once. */
#define GAP (64u << 10)

struct mapped_part {
	uintptr_t from, to;
};

static FILE *maps;
static struct mapped copied; /* not taken yet, in no order */

void mapped_open(void)
{
	maps = fopen("/proc/self/maps", "re");
}

static void add(struct mapped *m, uintptr_t from, uintptr_t to)
{
	/* Powers of two. */
	if ((m->n & (m->n - 1)) == 0)
		m->parts =
			xrealloc(m->parts, MAX(2 * m->n, 1) * sizeof *m->parts);
	m->parts[m->n++] = (struct mapped_part){ from, to };
}

void mapped_copied(const void *from, size_t size)
{
	add(&copied, (uintptr_t)from, (uintptr_t)from + size);
}

static int by_address(const void *a, const void *b)
{
	const struct mapped_part *x = a, *y = b;
	return (x->from > y->from) - (x->from < y->from);
}

static void join(struct mapped *m)
{
	size_t n = 0;
	if (m->n)
		qsort(m->parts, m->n, sizeof *m->parts, by_address);
	for (size_t i = 0; i < m->n; i++) {
		struct mapped_part *last = n ? &m->parts[n - 1] : NULL;
		if (last && m->parts[i].from <= last->to + GAP)
			last->to = MAX(last->to, m->parts[i].to);
		else
			m->parts[n++] = m->parts[i];
	}
	m->n = n;
}

/* A line of /proc/self/maps (proc(5)): range, rights, and more. */
static void take_line(const char *line, const struct mapped *from,
		      struct mapped *out)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start, end;
	char rights[5];
	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &start, &end,
		   rights) != 3 ||
	    strcmp(rights, "r--s") != 0)
		return;
	for (size_t i = 0; i < from->n; i++) {
		uintptr_t a = MAX(start, from->parts[i].from);
		uintptr_t b = MIN(end, from->parts[i].to);
		a = (a + page - 1) / page * page;
		b = b / page * page;
		if (a < b)
			add(out, a, b);
	}
}

void mapped_take(struct mapped *out)
{
	auto_free char *line = NULL;
	size_t cap = 0;
	*out = (struct mapped){ 0 };
	join(&copied);
	if (maps)
		rewind(maps);
	while (maps && copied.n && getline(&line, &cap, maps) > 0)
		take_line(line, &copied, out);
	mapped_fini(&copied);
}

void mapped_forget(const struct mapped *m)
{
	for (size_t i = 0; i < m->n; i++)
		madvise((void *)m->parts[i].from,
			m->parts[i].to - m->parts[i].from, MADV_DONTNEED);
}

void mapped_fini(struct mapped *m)
{
	free(m->parts);
	*m = (struct mapped){ 0 };
}
