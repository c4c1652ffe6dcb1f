/* cpu_memory.cpp - the CPU backend's memory: large pages where they pay, and
 * which bytes of files became packed weights. */
#include "llama/cpu_own.h"
#include "llama/mapped.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace
{
/* ---- large pages ---- */

/* The whole pages in a buffer. */
struct span {
	char *from, *to;

	explicit span(ggml_backend_buffer_t b)
	{
		auto page = (uintptr_t)sysconf(_SC_PAGESIZE);
		auto base = (uintptr_t)ggml_backend_buffer_get_base(b);
		uintptr_t end = base + ggml_backend_buffer_get_size(b);
		from = (char *)((base + page - 1) / page * page);
		to = std::max(from, (char *)(end / page * page));
	}

	bool advise(int advice) const
	{
		return from < to &&
		       madvise(from, (size_t)(to - from), advice) == 0;
	}
};

ggml_backend_buffer_t (*small_alloc)(ggml_backend_buffer_type_t, size_t);
void (*small_clear)(ggml_backend_buffer_t, uint8_t);

/* llama.cpp clears the cache of tokens' states before its first use, and no
 * memory for results in between. Large pages are both touched and translated
 * sooner, which makes a token of long texts take a twentieth less. But they are
 * there whole once a byte of them is used, so they are for what is used whole.
 * And none is there before that: the kernel's are zero. */
void large_clear(ggml_backend_buffer_t b, uint8_t value)
{
	auto *base = (char *)ggml_backend_buffer_get_base(b);
	span pages(b);
	pages.advise(MADV_HUGEPAGE);
	if (value != 0 || !pages.advise(MADV_DONTNEED))
		return small_clear(b, value);
	memset(base, 0, (size_t)(pages.from - base));
	memset(pages.to, 0,
	       (size_t)(base + ggml_backend_buffer_get_size(b) - pages.to));
}

/* ---- results in between ---- */

/* All buffers of this memory, by their creation. */
std::mutex mutex;
std::vector<ggml_backend_buffer_t> buffers;

void (*small_free)(ggml_backend_buffer_t);

void forgetful_free(ggml_backend_buffer_t b)
{
	{
		std::lock_guard<std::mutex> lock(mutex);
		buffers.erase(std::find(buffers.begin(), buffers.end(), b));
	}
	small_free(b);
}

ggml_backend_buffer_t alloc(ggml_backend_buffer_type_t type, size_t size)
{
	ggml_backend_buffer_t b = small_alloc(type, size);
	if (!b)
		return b;
	std::lock_guard<std::mutex> lock(mutex);
	small_clear = b->iface.clear;
	small_free = b->iface.free_buffer;
	b->iface.clear = large_clear;
	b->iface.free_buffer = forgetful_free;
	buffers.push_back(b);
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
		span(b).advise(MADV_HUGEPAGE);
		p->set = b->iface.set_tensor;
		b->iface.set_tensor = pack;
	}
	return b;
}
} // namespace

void cpu_own_rest(void)
{
	std::lock_guard<std::mutex> lock(mutex);
	for (ggml_backend_buffer_t b : buffers)
		if (b->usage == GGML_BACKEND_BUFFER_USAGE_COMPUTE)
			span(b).advise(MADV_DONTNEED);
}

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
