/* gelu_op.cpp - gelu.h as an operation of ggml. */
#include "llama/cpu_own.h"
#include "llama/gelu.h"

namespace
{
class traits : public ggml::cpu::tensor_traits
{
	bool work_size(int, const ggml_tensor *, size_t &size) override
	{
		size = 0;
		return true;
	}

	bool compute_forward(ggml_compute_params *params,
			     ggml_tensor *op) override
	{
		auto n = (size_t)ggml_nelements(op);
		auto ith = (size_t)params->ith, nth = (size_t)params->nth;
		size_t from = n * ith / nth, to = n * (ith + 1) / nth;
		gelu((const float *)op->src[0]->data + from, to - from,
		     (float *)op->data + from);
		return true;
	}
};
} // namespace

ggml::cpu::tensor_traits *gelu_op(const ggml_tensor *op)
{
	static traits the_traits;
	const ggml_tensor *x = op->src[0];
	return gelu_is_possible() &&
			       ggml_get_unary_op(op) == GGML_UNARY_OP_GELU &&
			       x->type == GGML_TYPE_F32 &&
			       op->type == GGML_TYPE_F32 &&
			       ggml_is_contiguous(x) && ggml_is_contiguous(op)
		       ? &the_traits
		       : nullptr;
}
