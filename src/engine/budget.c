#include "engine/budget.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

/* The start of a small file of the kernel's; empty if it cannot be read. */
static struct str read_small(const char *path, char *out, size_t cap)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, cap);
	return (struct str){ out, n > 0 ? (size_t)n : 0 };
}

static uint64_t limit_of(const char *mount, struct str group)
{
	char path[1000], text[32];
	uint64_t n;
	snprintf(path, sizeof path, "%s%.*s/memory.max", mount, STR_ARG(group));
	/* The root has none, and "max" is none. */
	struct str limit = read_small(path, text, sizeof text);
	if (str_ends(limit, "\n"))
		limit.n--;
	return str_to_u64(limit, &n) ? n : UINT64_MAX;
}

uint64_t budget_of_groups(const char *mount, struct str groups)
{
	struct str line;
	/* In a container the mount is the container's own group. */
	uint64_t least = limit_of(mount, STR(""));
	while (groups.n && str_split(&groups, '\n', &line)) {
		if (!str_starts(line, "0::/"))
			continue;
		line = str_tail(line, 3);
		while (line.n) {
			least = MIN(least, limit_of(mount, line));
			line.n = (size_t)str_find_last(line, '/');
		}
	}
	return least;
}

uint64_t budget_default(void)
{
	char text[1000];
	struct str groups = read_small("/proc/self/cgroup", text, sizeof text);
	uint64_t least = MIN(uv_get_total_memory(),
			     budget_of_groups("/sys/fs/cgroup", groups));
	/* libuv 1.44 knows version 1 only. */
	uint64_t v1 = uv_get_constrained_memory();
	if (v1)
		least = MIN(least, v1);
	return least / 10 * 9;
}
