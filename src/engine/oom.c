#include "engine/oom.h"

#include "base/buf.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A process's score is the share of the machine's memory that it takes, in
 * thousandths, and its adjustment: with half of all memory more, a worker goes
 * before a modeld that holds large requests, and after a process that has eaten
 * more than that half. */
#define CHILD_MORE 500
#define MOST 1000
/* Some 200 lines. */
#define VMSTAT_BYTES (64u << 10)

int oom_score_of_child(int score)
{
	return MIN(score + CHILD_MORE, MOST);
}

static int read_score(int *out)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "re");
	if (!f)
		return -1;
	int n = fscanf(f, "%d", out);
	fclose(f);
	return n == 1 ? 0 : -1;
}

static int write_score(int pid, int score)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && dprintf(fd, "%d", score) > 0 ? 0 : -1;
}

void oom_offer(int pid)
{
	int score;
	if (read_score(&score) || write_score(pid, oom_score_of_child(score)))
		log_debug("when memory runs out, the kernel chooses as it "
			  "likes pid=%d",
			  pid);
}

int64_t oom_kills_in(struct str vmstat)
{
	static const char name[] = "oom_kill ";
	struct str line;
	uint64_t n;
	while (str_split(&vmstat, '\n', &line))
		if (str_starts(line, name) &&
		    str_to_u64(str_tail(line, sizeof name - 1), &n) &&
		    n <= INT64_MAX)
			return (int64_t)n;
	return -1;
}

static int64_t kills(void)
{
	auto_close int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	auto_buf struct buf text;
	buf_init(&text, VMSTAT_BYTES);
	if (fd < 0 || buf_read(&text, fd))
		return -1;
	return oom_kills_in(buf_str(&text));
}

void oom_watch_init(struct oom_watch *w, uint64_t now_ms)
{
	int64_t n = kills();
	*w = (struct oom_watch){ { n, n }, now_ms };
}

void oom_watch_well(struct oom_watch *w, uint64_t now_ms)
{
	if (now_ms - w->at_ms < OOM_WELL_MS)
		return;
	*w = (struct oom_watch){ { w->kills[1], kills() }, now_ms };
}

enum oom_came oom_watch_came(const struct oom_watch *w)
{
	if (w->kills[0] < 0)
		return OOM_UNKNOWN;
	return kills() > w->kills[0] ? OOM_YES : OOM_NO;
}
