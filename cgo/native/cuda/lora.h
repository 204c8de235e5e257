// Shared by the LoRA products: dropout, and results in the packed type.
#pragma once

#include "product.h"

namespace steer {
namespace cuda {

// drop(x) in the type of x: x itself without seeds or p, else a masked copy in scratch memory.
class Dropped {
  public:
    // seeds: I32 [2,T] or null; f1 = p, i0 = site
    Dropped(steer_cuda & c, const ggml_tensor * x, const ggml_tensor * seeds, const steer_op_params & p);
    const Matrix & matrix() const { return matrix_; }
    static bool    on(const ggml_tensor * seeds, const steer_op_params & p);

  private:
    Scratch<char> copy_;
    Matrix        matrix_;
};

// dx += drop(x) for x f32 [K,T], contiguous.
void add_dropped(steer_cuda & c, const float * x, const ggml_tensor * dx, const ggml_tensor * seeds,
                 const steer_op_params & p);

// dst [m,T] f32 or bf16 = alpha op(A) B in the arithmetic of `type`; B has dst's columns.
void product_to(steer_cuda & c, ggml_tensor * dst, ggml_type type, bool trans_a, int64_t k, float alpha,
                const Matrix & A, const Matrix & B);

} // namespace cuda
} // namespace steer
