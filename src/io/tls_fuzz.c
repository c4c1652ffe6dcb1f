/* A hostile client's bytes, in pieces, against the server's side of a handshake
 * and of what follows; and a hostile server's, against the client's. The first
 * byte says which, and how long the pieces are. */
#include "base/limits.h"
#include "io/tls.h"
#include "io/tls_make.h"

#include <assert.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "io/stream_priv.h"

static struct tls *server, *client;

static void on_data(void *ctx, struct str data)
{
	/* Nobody has the keys. */
	(void)ctx;
	(void)data;
	abort();
}

static void on_end(void *ctx)
{
	(void)ctx;
	abort();
}

static void on_fail(void *ctx, const struct err *e)
{
	assert(e->msg[0]);
	*(bool *)ctx = true;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	tls_make_open();
	auto_(tls_cert) ca = tls_make("ca", NULL, "localhost", 400);
	tls_cert_free(tls_make("server", ca, "localhost", 90));
	server = tls_make_server("server");
	client = tls_make_client("ca");
	tls_make_close();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct stream_fns fns = { .on_data = on_data,
					       .on_end = on_end,
					       .on_fail = on_fail };
	uv_loop_t loop = { .data = NULL };
	int fds[2];
	bool is_over = false;
	if (n == 0)
		return 0;
	bool is_server = data[0] & 1;
	size_t piece = (data[0] >> 1) + 1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		abort();
	uv_loop_init(&loop);
	struct stream *s = stream_new(&loop, true);
	if (uv_pipe_open(&s->uv.pipe, fds[0]))
		abort();
	tls_start(is_server ? server : client, s,
		  is_server ? NULL : "localhost");
	stream_set_fns(s, &fns, &is_over);
	stream_resume(s);
	for (size_t at = 1; at < n && !is_over; at += piece) {
		size_t take = MIN(piece, n - at);
		stream_input(s, (struct str){ (const char *)data + at, take });
		assert(s->sealed.n <= LIMIT_TLS_CONTROL_BYTES);
	}
	stream_free(s);
	uv_run(&loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&loop))
		abort();
	close(fds[1]);
	return 0;
}
