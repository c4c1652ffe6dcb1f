/* Any bytes: an error or a header, never a crash or a large allocation. */
#include "model/gguf.h"
#include "model/gguf_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e;
	auto_(gguf_file) g = NULL;
	auto_close int fd = make_fd(p, n);
	if (gguf_read(fd, &g, &e) && !e.msg[0])
		abort();
	return 0;
}
