/* cpu_own.h - work of ggml's CPU backend that is done by us: products by panels
 * (panel.h), attention (attend.h), and an activation function (gelu.h).
 *
 * The backend asks each of its extra buffer types whether it does an operation,
 * before it does it by itself; one of ours is put among them. It holds the
 * weights that llama.cpp finds to fit into panels. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Before the first model is loaded; the backends are there already. False: the
 * processor or the build of ggml cannot do it, and all work remains ggml's. Its
 * tokens' states are on large pages in any case. */
bool cpu_own_register(void);
/* Gives back memory for results in between, which the next batch has again;
 * while nothing is computed, in any context. */
void cpu_own_rest(void);

/* attend_op.cpp: the memory that threads take to compute it together. */
struct ggml_tensor;
size_t attend_op_bytes(const struct ggml_tensor *op, int n_threads);

#ifdef __cplusplus
}

#include <ggml-backend-impl.h>
#include <ggml-cpu/traits.h>

/* Threads of one operation meet, and share out its parts: after set(n) each
 * add(1) gives the next number, from n. In the backend's library, which is
 * chosen at run time. */
struct cpu_own_ggml {
	void (*barrier)(ggml_threadpool *);
	void (*chunk_set)(ggml_threadpool *, int);
	int (*chunk_add)(ggml_threadpool *, int);
};
extern struct cpu_own_ggml cpu_own_ggml;

/* The threads meet; then they may share. */
inline void cpu_own_meet(const ggml_compute_params *p)
{
	if (p->ith == 0)
		cpu_own_ggml.chunk_set(p->threadpool, p->nth);
	cpu_own_ggml.barrier(p->threadpool);
}

/* Each takes parts, from 0 up to n, as long as some are left. */
template <class Part>
void cpu_own_share(const ggml_compute_params *p, size_t n, Part part)
{
	for (auto i = (size_t)p->ith; i < n;
	     i = (size_t)cpu_own_ggml.chunk_add(p->threadpool, 1))
		part(i);
}

/* ---- cpu_memory.cpp ---- */
/* Before anything is allocated. */
void cpu_memory_register();
/* Buffers of these types hold packed weights. */
void cpu_memory_watch(const std::vector<ggml_backend_buffer_type_t> &types);

/* ---- panel_op.cpp ---- */
ggml_backend_buffer_type_t panel_op_buffers();
bool panel_op_suits(const ggml_tensor *op);
/* NULL: ggml's own is to do it. */
ggml::cpu::tensor_traits *panel_op(const ggml_tensor *op);

/* ---- attend_op.cpp ---- */
ggml::cpu::tensor_traits *attend_op(const ggml_tensor *op);

/* ---- gelu_op.cpp ---- */
ggml::cpu::tensor_traits *gelu_op(const ggml_tensor *op);
#endif
