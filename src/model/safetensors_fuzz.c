/* Any bytes: an error or a header, never a crash or a large allocation. */
#include "model/safetensors.h"
#include "model/gguf_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e = { 0 };
	auto_(safetensors) s = NULL;
	auto_close int fd = make_fd(p, n);
	if (safetensors_read(fd, &s, &e) && !e.msg[0])
		abort();
	return 0;
}
