// The table of operations, and how a mistake becomes an error with operation and shapes.

#include "launch.h"

namespace steer {
namespace cuda {

void require(bool ok, const char * what) {
    if (!ok) {
        throw steer_cuda_error(what);
    }
}

void require_f32(const ggml_tensor * t, int64_t ne0, int64_t ne1, const char * name) {
    require_shape(t, ne0, ne1, name);
    require(t->type == GGML_TYPE_F32 && t->nb[0] == sizeof(float) && t->nb[1] % sizeof(float) == 0, name);
}

void require_packed(const ggml_tensor * t, int64_t ne0, int64_t ne1, const char * name) {
    const std::string what = std::string(name) + " is not f32 or bf16 of the right shape";
    require_shape(t, ne0, ne1, what.c_str());
    require((t->type == GGML_TYPE_F32 || t->type == GGML_TYPE_BF16) && t->nb[0] == ggml_element_size(t) &&
                t->nb[1] % ggml_element_size(t) == 0,
            what.c_str());
}

void require_ints(const ggml_tensor * t, int64_t n, const char * name) {
    require_shape(t, n, 1, name);
    require(n > 0 && t->type == GGML_TYPE_I32 && t->nb[0] == sizeof(int32_t), name);
}

void check(cudaError_t status, const char * what) {
    if (status != cudaSuccess) {
        throw steer_cuda_error(std::string(what) + ": CUDA error: " + cudaGetErrorString(status));
    }
}

// The least shared memory a block can have on any of the architectures this is built for.
static constexpr size_t MOST_SHARED = 99 * 1024;

void check_grid(const char * name, dim3 grid, size_t shared) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535) {
        throw steer_cuda_error(std::string(name) + ": grid " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
                               " x " + std::to_string(grid.z) + " is empty or beyond CUDA's limits");
    }
    if (shared > MOST_SHARED) {
        throw steer_cuda_error(std::string(name) + ": wants " + std::to_string(shared) + " bytes of shared memory");
    }
}

static std::string shape_of(const ggml_tensor * t) {
    return std::string(ggml_type_name(t->type)) + " [" + std::to_string(t->ne[0]) + ", " + std::to_string(t->ne[1]) +
           "]";
}

static void run(const char * op, void (*launcher)(ggml_tensor *, steer_cuda &), ggml_tensor * dst, steer_cuda & c) {
    std::string what = std::string(op) + " " + shape_of(dst) + " of";
    for (int i = 0; i < GGML_MAX_SRC; i++) {
        if (dst->src[i]) {
            what += " " + shape_of(dst->src[i]);
        }
    }
    naming(what, [&] {
        c.enter();
        launcher(dst, c);
    });
}

} // namespace cuda
} // namespace steer

#define STEER_CUDA_OPS(OP)                                                                                             \
    OP(pack) OP(norm) OP(rope_table) OP(rope) OP(linear) OP(linear_back) OP(lora_down) OP(lora_up_back) OP(outer_acc)  \
    OP(lora_down_back) OP(attn) OP(attn_back) OP(rms_back) OP(swiglu) OP(swiglu_back) OP(head_logprob)                 \
    OP(head_direction) OP(head_direction_back) OP(head_logprob_back) OP(head_kl) OP(scalar_head) OP(scalar_head_back)  \
    OP(scalar_head_grad) OP(scalar_head_grad_bias) OP(bias) OP(scale) OP(geglu) OP(geglu_back)

#define LAUNCHER(name) \
    void steer_cuda_##name(ggml_tensor * dst, steer_cuda & c) { steer::cuda::run(#name, steer::cuda::name, dst, c); }
STEER_CUDA_OPS(LAUNCHER)
#undef LAUNCHER

// In the order of steer_op_id; a test compares the names with the CPU's.
#define ENTRY(name) { #name, steer_cuda_##name },
static const steer_cuda_op table[] = { STEER_CUDA_OPS(ENTRY) };
#undef ENTRY

const steer_cuda_op * steer_cuda_op_get(steer_op_id id) {
    return id >= 0 && (size_t) id < sizeof table / sizeof table[0] ? &table[id] : nullptr;
}
