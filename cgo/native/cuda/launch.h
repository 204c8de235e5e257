// Host side of every operation: tensors as the kernels see them, launching, scratch memory.
#pragma once

#include "cuda_ops.h"
#include "gpu.h"

#include <utility>

namespace steer {
namespace cuda {

// Rows of a tensor: row t begins at data + t * stride.
template <class T> struct Rows {
    T *     data;
    int64_t stride;
};

template <class T> Rows<T> rows_of(const ggml_tensor * t) {
    return { (T *) t->data, (int64_t) (t->nb[1] / sizeof(T)) };
}

inline const int32_t * ints_of(const ggml_tensor * t) { return (const int32_t *) t->data; }
inline const float *   floats_of(const ggml_tensor * t) { return (const float *) t->data; }

inline const steer_op_params & params_of(ggml_tensor * t) { return *steer_op_params_of(t); }

// Throws unless ok: the operands are not what the operation wants.
void require(bool ok, const char * what);

inline void require_shape(const ggml_tensor * t, int64_t ne0, int64_t ne1, const char * name) {
    require(t && t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == 1 && t->ne[3] == 1, name);
}

void require_f32(const ggml_tensor * t, int64_t ne0, int64_t ne1, const char * name);
// f32 or bf16
void require_packed(const ggml_tensor * t, int64_t ne0, int64_t ne1, const char * name);
void require_ints(const ggml_tensor * t, int64_t n, const char * name);

// Throws steer_cuda_error naming the kernel or call.
void check(cudaError_t status, const char * what);

// Whether every row of t begins at a multiple of 16 bytes (8 for bf16) and has whole groups of four.
inline bool in_fours(const ggml_tensor * t) {
    const size_t unit = 4 * ggml_element_size(t);
    return t->ne[0] % 4 == 0 && (uintptr_t) t->data % unit == 0 && t->nb[1] % unit == 0;
}

// Scratch memory for the duration of a launcher.
template <class T> class Scratch {
  public:
    Scratch(steer_cuda & c, int64_t n) : c_(c), p_(n > 0 ? (T *) c.acquire((size_t) n * sizeof(T)) : nullptr) {}
    ~Scratch() {
        if (p_) {
            c_.release(p_);
        }
    }
    Scratch(const Scratch &)             = delete;
    Scratch & operator=(const Scratch &) = delete;
    operator T *() const { return p_; }

  private:
    steer_cuda & c_;
    T *          p_;
};

void check_grid(const char * name, dim3 grid, size_t shared);

// kernel<<<grid, threads, shared, c.stream>>>(args...), checked. name is the kernel's, for messages.
template <class... P, class... A>
void launch(steer_cuda & c, const char * name, void (*kernel)(P...), dim3 grid, int threads, size_t shared, A... args) {
    check_grid(name, grid, shared);
    if (c.measuring) {
        return;
    }
#ifdef __CUDACC__
    if (shared > 48 * 1024) {
        check(cudaFuncSetAttribute((const void *) kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int) shared),
              name);
    }
    kernel<<<grid, threads, shared, c.stream>>>(static_cast<P>(args)...);
    check(cudaGetLastError(), name);
#else
    if (shared > 48 * 1024) {
        emulation::allow_shared((const void *) kernel, shared);
    }
    emulation::launch(name, (const void *) kernel, grid, dim3((unsigned) threads), shared,
                      [=] { kernel(static_cast<P>(args)...); });
#endif
}

// Calls f; what it throws gets `what` in front.
template <class F> void naming(const std::string & what, F f) {
    try {
        f();
    } catch (const steer_cuda_error & e) {
        throw steer_cuda_error("cuda " + what + ": " + e.what(), e.out_of_memory);
    }
}

// Calls f(float{}) or f(bf16{}) by t's type.
template <class F> void by_type(const ggml_tensor * t, F f) {
    if (t->type == GGML_TYPE_BF16) {
        f(bf16{});
    } else {
        f(float{});
    }
}

// The launchers behind the table; cuda_ops.cpp adds operation and shapes to what they throw.
void pack(ggml_tensor * dst, steer_cuda & c);
void norm(ggml_tensor * dst, steer_cuda & c);
void rope_table(ggml_tensor * dst, steer_cuda & c);
void rope(ggml_tensor * dst, steer_cuda & c);
void linear(ggml_tensor * dst, steer_cuda & c);
void linear_back(ggml_tensor * dst, steer_cuda & c);
void lora_down(ggml_tensor * dst, steer_cuda & c);
void lora_up_back(ggml_tensor * dst, steer_cuda & c);
void outer_acc(ggml_tensor * dst, steer_cuda & c);
void lora_down_back(ggml_tensor * dst, steer_cuda & c);
void attn(ggml_tensor * dst, steer_cuda & c);
void attn_back(ggml_tensor * dst, steer_cuda & c);
void rms_back(ggml_tensor * dst, steer_cuda & c);
void swiglu(ggml_tensor * dst, steer_cuda & c);
void swiglu_back(ggml_tensor * dst, steer_cuda & c);
void head_logprob(ggml_tensor * dst, steer_cuda & c);
void head_direction(ggml_tensor * dst, steer_cuda & c);
void head_direction_back(ggml_tensor * dst, steer_cuda & c);
void head_logprob_back(ggml_tensor * dst, steer_cuda & c);
void head_kl(ggml_tensor * dst, steer_cuda & c);
void scalar_head(ggml_tensor * dst, steer_cuda & c);
void scalar_head_back(ggml_tensor * dst, steer_cuda & c);
void scalar_head_grad(ggml_tensor * dst, steer_cuda & c);
void scalar_head_grad_bias(ggml_tensor * dst, steer_cuda & c);
void bias(ggml_tensor * dst, steer_cuda & c);
void scale(ggml_tensor * dst, steer_cuda & c);
void geglu(ggml_tensor * dst, steer_cuda & c);
void geglu_back(ggml_tensor * dst, steer_cuda & c);

} // namespace cuda
} // namespace steer
