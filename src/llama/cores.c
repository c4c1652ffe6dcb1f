#include "llama/cores.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

/* What this process may use is one thing for all of it, so these are global. */
static struct {
	int meminfo, cpu_max, memory_max, memory_current;
} files = { -1, -1, -1, -1 };

static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* A file of our control group (version 2), mounted at the usual place. In a
 * container the group's own root is mounted there and the path is "/". */
static int open_group(struct str groups, const char *name)
{
	char path[700];
	struct str piece;
	while (str_split(&groups, '\n', &piece)) {
		if (!str_starts(piece, "0::"))
			continue;
		struct str group = str_tail(piece, 3);
		snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/%s",
			 STR_ARG(group), name);
		return open_file(path);
	}
	return -1;
}

/* The start of a small file of the kernel's; empty if it cannot be read. */
static struct str read_small(int fd, char *out, size_t cap)
{
	ssize_t n = fd < 0 ? -1 : pread(fd, out, cap, 0);
	return (struct str){ out, n > 0 ? (size_t)n : 0 };
}

void cores_open(void)
{
	char text[600];
	if (files.meminfo >= 0)
		return;
	files.meminfo = open_file("/proc/meminfo");
	auto_close int fd = open_file("/proc/self/cgroup");
	struct str groups = read_small(fd, text, sizeof text);
	files.cpu_max = open_group(groups, "cpu.max");
	files.memory_max = open_group(groups, "memory.max");
	files.memory_current = open_group(groups, "memory.current");
}

int cores_from_quota(struct str cpu_max)
{
	uint64_t quota, period;
	struct str first, second;
	struct str line = str_head(cpu_max, cpu_max.n);
	if (str_ends(line, "\n"))
		line = str_head(line, line.n - 1);
	if (!str_split(&line, ' ', &first) || !str_split(&line, ' ', &second) ||
	    !str_to_u64(first, &quota) || !str_to_u64(second, &period) ||
	    !quota || !period || quota > 1000 * period)
		return 0;
	return (int)((quota + period - 1) / period);
}

int cores_usable(void)
{
	char text[100];
	cpu_set_t set;
	int n = 0;
	cores_open();
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	if (n < 1)
		n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	int quota =
		cores_from_quota(read_small(files.cpu_max, text, sizeof text));
	if (quota && quota < n)
		n = quota;
	return n < 1 ? 1 : n;
}

static bool read_bytes(int fd, uint64_t *out)
{
	char text[100];
	struct str s = read_small(fd, text, sizeof text);
	if (str_ends(s, "\n"))
		s.n--;
	return str_to_u64(s, out);
}

uint64_t cores_memory_bytes(void)
{
	char text[4096];
	cores_open();
	struct str all = read_small(files.meminfo, text, sizeof text), line;
	uint64_t available = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			     (uint64_t)sysconf(_SC_PAGESIZE);
	while (str_split(&all, '\n', &line)) {
		uint64_t kib;
		if (!str_starts(line, "MemAvailable:"))
			continue;
		line = str_trim(str_tail(line, strlen("MemAvailable:")));
		if (str_to_u64(str_head(line, line.n - strlen(" kB")), &kib))
			available = kib * 1024;
	}
	uint64_t most, used;
	if (read_bytes(files.memory_max, &most) &&
	    read_bytes(files.memory_current, &used))
		available = MIN(available, most > used ? most - used : 0);
	return available;
}
