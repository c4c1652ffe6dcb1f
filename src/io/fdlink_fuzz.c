/* What a hostile peer sends, in pieces and with descriptors of its choice: no
 * line is longer than allowed, and no descriptor is left over. */
#include "io/fdlink.h"

#include "base/limits.h"
#include "io/fdlink_make.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <uv.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct place {
	struct fdlink *link;
	unsigned turn;
	bool is_ended;
};

static void on_line(void *ctx, struct str line)
{
	struct place *p = ctx;
	assert(line.n <= LIMIT_HELPER_LINE_BYTES && !p->is_ended);
	assert(!line.n || !memchr(line.p, '\n', line.n));
	if (p->turn++ % 3 == 0) {
		int fd = fdlink_take(p->link);
		if (fd >= 0)
			close(fd);
	}
	if (line.n && line.p[0] == 'q') {
		fdlink_free(p->link);
		p->link = NULL;
	} else {
		fdlink_send(p->link, line);
	}
}

static void on_end(void *ctx, const struct err *e)
{
	struct place *p = ctx;
	assert(!p->is_ended && e->msg[0]);
	p->is_ended = true;
}

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fd);
	return fd;
}

/* A piece: how many bytes, how many descriptors, the bytes. */
static size_t send_piece(int to, const uint8_t *data, size_t n)
{
	static const int fds[16]; /* all standard input */
	if (n < 2)
		return n;
	size_t size = MIN((size_t)data[0] * 64 + 1, n - 2);
	if (size &&
	    fdlink_make_send(to, (struct str){ (const char *)data + 2, size },
			     fds, data[1] % 16) < 0)
		return n;
	return size + 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fdlink_fns fns = { on_line, on_end };
	static uv_loop_t loop;
	static bool is_ready;
	struct place p = { 0 };
	struct err e;
	int ends[2];
	if (!is_ready)
		uv_loop_init(&loop);
	is_ready = true;
	int before = lowest_free();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       ends) < 0)
		abort();
	int got = fdlink_open(&loop, ends[0], &fns, &p, &p.link, &e);
	assert(got == 0);
	while (n && !p.is_ended && p.link) {
		size_t used = send_piece(ends[1], data, n);
		data += used;
		n -= used;
		for (int i = 0; i < 8; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
	}
	close(ends[1]);
	for (int i = 0; i < 8; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	fdlink_free(p.link);
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert(lowest_free() == before);
	return 0;
}
