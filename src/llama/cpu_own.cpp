#include "llama/cpu_own.h"

#include "llama/attend.h"
#include "llama/panel.h"

#include <cstring>
#include <dlfcn.h>

struct cpu_own_ggml cpu_own_ggml;

namespace ggml::cpu
{
/* ggml's are in its library too. */
tensor_traits::~tensor_traits() = default;
extra_buffer_type::~extra_buffer_type() = default;
} // namespace ggml::cpu

namespace
{
class own : public ggml::cpu::extra_buffer_type
{
	bool supports_op(ggml_backend_dev_t, const ggml_tensor *op) override
	{
		return panel_op_suits(op);
	}

	ggml::cpu::tensor_traits *get_tensor_traits(
		const ggml_tensor *op) override
	{
		return op->op == GGML_OP_FLASH_ATTN_EXT ? attend_op(op)
		       : op->op == GGML_OP_UNARY	? gelu_op(op)
							: panel_op(op);
	}
};

/* The library of the CPU backend. */
void *backend_library()
{
	Dl_info info;
	auto *cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	void *inside = ggml_backend_reg_get_proc_address(
		ggml_backend_dev_backend_reg(cpu), "ggml_threadpool_new");
	return inside && dladdr(inside, &info) && info.dli_fname
		       ? dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD)
		       : nullptr;
}

template <class T> bool find(void *lib, const char *name, T *&out)
{
	out = (T *)dlsym(lib, name);
	return out != nullptr;
}
} // namespace

bool cpu_own_register(void)
{
	static own the_own;
	std::vector<ggml_backend_buffer_type_t> &(*types)();
	struct cpu_own_ggml *g = &cpu_own_ggml;
	cpu_memory_register();
	void *lib = panel_way() != PANEL_NONE ? backend_library() : nullptr;
	if (!lib ||
	    !find(lib, "_Z39ggml_backend_cpu_get_extra_buffer_typesv", types) ||
	    !find(lib, "ggml_barrier", g->barrier) ||
	    !find(lib, "ggml_threadpool_chunk_set", g->chunk_set) ||
	    !find(lib, "ggml_threadpool_chunk_add", g->chunk_add))
		return false;
	panel_op_buffers()->context =
		static_cast<ggml::cpu::extra_buffer_type *>(&the_own);
	/* Before ggml's own packed forms, after those of special hardware. */
	auto place = types().begin();
	while (place != types().end() &&
	       std::strcmp(ggml_backend_buft_name(*place), "CPU_REPACK") != 0)
		++place;
	types().insert(place, panel_op_buffers());
	cpu_memory_watch(types());
	return true;
}
