#include "docker/hosts.h"
#include "base/limits.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define NAME "m.internal"

static const char *const ours[] = { "10.9.9.9", "fd::9", NULL };

static void check_once(const struct hosts_rule *r, struct buf *file,
		       const char *hostname)
{
	struct hosts_edit edit;
	auto_free char *before = xcalloc(file->n + 1, 1);
	size_t n = file->n;
	memcpy(before, buf_str(file).p, n);
	int got = hosts_apply(file, hostname, r, &edit);
	assert(edit.at <= n && edit.at <= file->n);
	assert(memcmp(buf_str(file).p, before, edit.at) == 0);
	bool is_same = n == file->n && !memcmp(buf_str(file).p, before, n);
	assert(got != HOSTS_SAME || is_same);
	assert(!r->address || hosts_has(buf_str(file), NAME));
	/* What is right is left alone, apart from what users' lines change. */
	got = hosts_apply(file, hostname, r, &edit);
	assert(got == HOSTS_SAME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hosts_net net = { .gateway = "10.1.0.1" };
	struct hosts_rule with = { .name = NAME,
				   .ours = ours,
				   .address = ours[0],
				   .address6 = ours[1],
				   .nets = &net,
				   .n_nets = 1 };
	struct hosts_rule without = { .name = NAME, .ours = ours };
	auto_buf struct buf file, clean;
	buf_init(&file, n + 2 * LIMIT_HOSTS_LINE_BYTES);
	buf_init(&clean, n + 2 * LIMIT_HOSTS_LINE_BYTES);
	net.subnet.s_addr = htonl(0x0a010000);
	net.mask.s_addr = htonl(0xffff0000);
	int full = buf_put(&clean, data, n);
	assert(!full);
	check_once(&without, &clean, "web");
	full = buf_put(&file, buf_str(&clean).p, clean.n);
	assert(!full);
	/* Put in and taken out again: the same bytes. */
	check_once(&with, &file, "web");
	check_once(&without, &file, "web");
	assert(file.n == clean.n &&
	       memcmp(buf_str(&file).p, buf_str(&clean).p, clean.n) == 0);
	return 0;
}
