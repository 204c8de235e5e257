// lora_down: h = s A^T drop(x).
//   h[j,t] = f0 * sum_k A[k,j] drop(x)[k,t]
//   dst h [r,T]; src0 A f32 [K,r], src1 x [K,T] of h's type, src2 seeds I32 [2,T] (only with f1 = p > 0)

#include "device.h"
#include "lora.h"

namespace steer {
namespace cuda {
namespace {

__global__ void store_bf16(const float * x, Rows<bf16> y, int r, int64_t n) {
    const int64_t i = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y.data[i / r * y.stride + i % r] = to_bf16(x[i]);
    }
}

} // namespace

void product_to(steer_cuda & c, ggml_tensor * dst, ggml_type type, bool trans_a, int64_t k, float alpha, const Matrix & A, const Matrix & B) {
    const int64_t m = dst->ne[0], T = dst->ne[1];
    if (dst->type == GGML_TYPE_F32) {
        const Rows<float> y = rows_of<float>(dst);
        product(c, type, trans_a, false, m, T, k, alpha, A, B, 0, y.data, y.stride);
        return;
    }
    Scratch<float> wide(c, m * T);
    product(c, type, trans_a, false, m, T, k, alpha, A, B, 0, wide, m);
    launch(c, "store_bf16", store_bf16, dim3((unsigned) ((m * T + 255) / 256)), 256, 0, (const float *) wide, rows_of<bf16>(dst), (int) m,
           m * T);
}

void lora_down(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     A = dst->src[0];
    const ggml_tensor *     x = dst->src[1];
    const steer_op_params & p = params_of(dst);
    const int64_t           K = A->ne[0], r = A->ne[1], T = x->ne[1];
    require_f32(A, K, r, "A is not f32");
    require_packed(x, K, T, "x");
    require_packed(dst, r, T, "dst");
    const InType  down(c, A, x->type);
    const Dropped in(c, x, dst->src[2], p);
    product_to(c, dst, x->type, true, K, p.f[0], down.matrix(), in.matrix());
}

} // namespace cuda
} // namespace steer
