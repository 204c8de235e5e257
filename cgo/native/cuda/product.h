// Matrix products of tensors: operands in the arithmetic's type, weights chunk by chunk.
#pragma once

#include "launch.h"

namespace steer {
namespace cuda {

// The operand of a GEMM: a column-major matrix.
struct Matrix {
    const void * data;
    int64_t      ld;
};

// An f32 or bf16 tensor in the wanted one of the two types; converted into scratch memory if
// it is the other.
class InType {
  public:
    InType(steer_cuda & c, const ggml_tensor * t, ggml_type type);
    const Matrix & matrix() const { return matrix_; }

  private:
    Scratch<char> copy_;
    Matrix        matrix_;
};

// C [m,n] = alpha op(A) op(B) + beta C; type is A's and B's, type_c C's.
inline void product(steer_cuda & c, ggml_type type, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                    float alpha, const Matrix & A, const Matrix & B, float beta, void * C, int64_t ldc,
                    ggml_type type_c = GGML_TYPE_F32) {
    c.gemm({ trans_a, trans_b, m, n, k, alpha, type, A.data, A.ld, B.data, B.ld, beta, C, ldc, type_c });
}

// Rows of a weight matrix [K,N] in bf16 or f32, some of them at a time: as many as fit
// c.limits.weight_bytes, or all where they are there in that type.
class Weights {
  public:
    // chunk: rows at a time, 0 for the default
    Weights(steer_cuda & c, const ggml_tensor * W, ggml_type type, int64_t chunk = 0);
    int64_t chunk() const { return chunk_; }
    // Rows [n0, n0 + n), n <= chunk(), as a matrix [K,n]; what an earlier call gave is gone.
    Matrix rows(int64_t n0, int64_t n);

  private:
    steer_cuda &        c_;
    const ggml_tensor * W_;
    ggml_type           type_;
    int64_t             chunk_;
    Scratch<char>       unpacked_;
};

} // namespace cuda
} // namespace steer
