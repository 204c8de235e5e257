// The training operations on an NVIDIA GPU: the same names, tensors and parameters as the
// CPU operations of ../ops.h, with data in device memory.
//
//   std::unique_ptr<steer_cuda> c = steer_cuda_open(backend);   // once a device
//   steer_cuda_op_get(id)->launch(dst, *c);                     // for each node
//
// A launcher only puts work on c.stream and returns; the data is there after the stream is
// synchronized. Results depend neither on timing nor on earlier calls: no sum is made with
// atomics. A launcher throws steer_cuda_error and leaves no scratch memory behind.
//
// Against ../ops.h one parameter is new: ATTN and ATTN_BACK multiply in bf16 (sums in f32)
// if i3 is 1, else in f32. Head sizes (i0) up to 256 are possible.
//
// This header needs neither CUDA's nor ggml-cuda's headers.
#pragma once

#include "../ops.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

typedef struct CUstream_st * cudaStream_t; // as in CUDA's own headers
struct ggml_backend;

// What went wrong, with the operation's name and its tensors' types and shapes.
class steer_cuda_error : public std::runtime_error {
  public:
    explicit steer_cuda_error(const std::string & what, bool out_of_memory = false) :
        std::runtime_error(what), out_of_memory(out_of_memory) {}
    bool out_of_memory; // the only kind after which the device can go on
};

// C = alpha op(A) op(B) + beta C with column-major matrices, as in BLAS: a ggml tensor
// [ne0, ne1] is an ne0 x ne1 matrix whose ld is its row distance in elements.
struct steer_gemm {
    bool         trans_a, trans_b;
    int64_t      m, n, k;
    float        alpha;
    ggml_type    type; // of A and B: BF16 (sums in f32) or F32 (exact: no TF32)
    const void * A;
    int64_t      lda;
    const void * B;
    int64_t      ldb;
    float        beta;
    void *       C;
    int64_t      ldc;
    ggml_type    type_c = GGML_TYPE_F32; // of C: F32, or BF16 if type is
};

// How much scratch memory the launchers take at a time. Tests make them small.
struct steer_cuda_limits {
    size_t  weight_bytes = 144 << 20; // unpacked weights; the largest matrix of a 13B Llama has 135 MiB
    int64_t head_rows    = 4096;      // target rows that walk the vocabulary together
    int64_t panel_rows   = 1024;      // of these, rows whose logits are held at a time ...
    int64_t panel_vocab  = 8192;      // ... for so many entries of the vocabulary
};

// What the launchers need of a device. Everything is ordered on one stream.
struct steer_cuda {
    cudaStream_t      stream = nullptr;
    steer_cuda_limits limits;
    bool              measuring = false; // launchers ask for scratch memory and launch nothing, see measure.h

    virtual ~steer_cuda() = default;

    // Makes the device the calling thread's; every launcher begins with it.
    virtual void enter() {}

    virtual void gemm(const steer_gemm & g) = 0;

    // n elements (whole rows) of a type that unpack.cu has no kernel for, to F32 or BF16.
    virtual void unpack_other(ggml_type type, const void * src, ggml_type to, void * dst, int64_t n) = 0;
    virtual bool can_unpack_other(ggml_type type) const = 0;

    // Scratch memory from a pool, 256-byte aligned, in the order of the stream: what is
    // released may be handed out again at once. The pool grows to the largest need and keeps it.
    // Pieces are released in the reverse order.
    virtual void * acquire(size_t bytes) = 0;
    virtual void   release(void * p) noexcept = 0;
    // Obtains now what needs up to so many bytes at once would.
    virtual void   reserve(size_t bytes) = 0;

    virtual size_t pool_bytes() const = 0; // held by the pool
    virtual size_t peak_bytes() const = 0; // most ever in use at once
};

// For a backend made by ggml_backend_cuda_init: its stream, an own cuBLAS handle and pool.
// The backend must outlive it.
std::unique_ptr<steer_cuda> steer_cuda_open(struct ggml_backend * backend);

typedef void (*steer_cuda_launcher)(struct ggml_tensor * dst, steer_cuda & c);

struct steer_cuda_op {
    const char *        name; // "linear_back"; as in steer_op
    steer_cuda_launcher launch;
};

// NULL for an id that does not exist. Every steer_op_id has one.
const struct steer_cuda_op * steer_cuda_op_get(enum steer_op_id id);

void steer_cuda_pack(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_norm(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_rope_table(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_rope(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_linear(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_linear_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_lora_down(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_lora_up_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_outer_acc(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_lora_down_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_attn(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_attn_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_rms_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_swiglu(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_swiglu_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_head_logprob(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_head_direction(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_head_direction_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_head_logprob_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_head_kl(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_scalar_head(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_scalar_head_back(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_scalar_head_grad(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_scalar_head_grad_bias(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_bias(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_scale(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_geglu(ggml_tensor * dst, steer_cuda & c);
void steer_cuda_geglu_back(ggml_tensor * dst, steer_cuda & c);

// Whether LINEAR, LINEAR_BACK and the head can read weights of this type on c's device.
bool steer_cuda_weight_type_ok(ggml_type type, const steer_cuda & c);

// n_rows rows in host memory, one after the other and of a type that is ok, become dst [row_values, n_rows] f32 in
// device memory (16-byte aligned). The copy may still be under way when this returns: rows must not change before the
// stream is synchronized.
void steer_cuda_unpack_rows(ggml_type type, const void * rows, int64_t row_values, int64_t n_rows, float * dst,
                            steer_cuda & c);

// ---------------------------------------------------------------------------------
// Optimizer over flat arrays in device memory; formulas in ../ops.h.

// *out (device memory) = sum of x[i]^2, in an order that depends on n alone.
void steer_cuda_sumsq(const float * x, int64_t n, double * out, steer_cuda & c);

void steer_cuda_adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2,
                      double eps, double wd, double gscale, int64_t step, steer_cuda & c);

// y = a + b; arrays that begin at multiples of 16 bytes.
void steer_cuda_add(const float * a, const float * b, float * y, int64_t n, steer_cuda & c);

// Multiplies random n x n matrices in bf16 `times` times. ready is called before the first and after
// the last product and waits for the device.
void steer_cuda_gemm_rate(int64_t n, int times, steer_cuda & c, const std::function<void()> & ready);
