/* cpu_memory.cpp - the CPU backend's memory: large pages where they pay, and
 * which bytes of files became packed weights. */
#include "llama/cpu_own.h"
#include "llama/mapped.h"

#include <sys/mman.h>

namespace
{
/* ---- large pages ---- */

/* Touched and translated sooner: a cache of 94 MB is ready in 10 ms and not in
 * 150, and a token of one stream takes a sixth less. But they are there whole
 * once a byte of them is used, so they are for what is used whole. */
void make_large(ggml_backend_buffer_t b)
{
	const uintptr_t page = 4096;
	auto base = (uintptr_t)ggml_backend_buffer_get_base(b);
	size_t size = ggml_backend_buffer_get_size(b);
	uintptr_t from = (base + page - 1) / page * page;
	if (size >= 2 * page)
		madvise((void *)from, (base + size - from) / page * page,
			MADV_HUGEPAGE);
}

ggml_backend_buffer_t (*small_alloc)(ggml_backend_buffer_type_t, size_t);
void (*small_clear)(ggml_backend_buffer_t, uint8_t);

/* llama.cpp clears the cache of tokens' states before its first use, and no
 * memory for results in between. */
void large_clear(ggml_backend_buffer_t b, uint8_t value)
{
	make_large(b);
	small_clear(b, value);
}

ggml_backend_buffer_t alloc(ggml_backend_buffer_type_t type, size_t size)
{
	ggml_backend_buffer_t b = small_alloc(type, size);
	if (b) {
		small_clear = b->iface.clear;
		b->iface.clear = large_clear;
	}
	return b;
}

/* ---- packed weights ---- */

/* A type of buffers, and what was there before ours. */
struct packer {
	ggml_backend_buffer_type_t type;
	ggml_backend_buffer_t (*alloc)(ggml_backend_buffer_type_t, size_t);
	void (*set)(ggml_backend_buffer_t, ggml_tensor *, const void *, size_t,
		    size_t);
};
std::vector<packer> packers;

packer *packer_of(ggml_backend_buffer_type_t type)
{
	for (packer &p : packers)
		if (p.type == type)
			return &p;
	return nullptr;
}

void pack(ggml_backend_buffer_t b, ggml_tensor *t, const void *data,
	  size_t offset, size_t size)
{
	packer_of(b->buft)->set(b, t, data, offset, size);
	mapped_copied(data, size);
}

ggml_backend_buffer_t alloc_packed(ggml_backend_buffer_type_t type, size_t size)
{
	packer *p = packer_of(type);
	ggml_backend_buffer_t b = p->alloc(type, size);
	if (b) {
		make_large(b);
		p->set = b->iface.set_tensor;
		b->iface.set_tensor = pack;
	}
	return b;
}
} // namespace

void cpu_memory_register()
{
	ggml_backend_buffer_type_t plain = ggml_backend_cpu_buffer_type();
	small_alloc = plain->iface.alloc_buffer;
	plain->iface.alloc_buffer = alloc;
}

void cpu_memory_watch(const std::vector<ggml_backend_buffer_type_t> &types)
{
	for (ggml_backend_buffer_type_t t : types) {
		packers.push_back({ t, t->iface.alloc_buffer, nullptr });
		t->iface.alloc_buffer = alloc_packed;
	}
}
