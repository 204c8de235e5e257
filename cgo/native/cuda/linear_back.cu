// linear_back: dx (+)= W dy + sum of LoRA parts A dh.
//   dx[k,t] (+)= sum_n W[k,n] dy[n,t] + sum_parts sum_j A[k,j] dh[j,t]
//   overwriting (i0 = 0): dst dx [K,T]; src0 W [K,N], src1 dy [N,T] f32 or bf16,
//     then up to three pairs A f32 [K,r], dh [r,T] of dy's type
//   accumulating (i0 = 1): dst = src0 dx in place; src1 W, src2 dy, pairs
//
// The arithmetic is dy's type; W is the buffer of linear, not transposed. LoRA parts first, as in linear.

#include "product.h"

#include <algorithm>

namespace steer {
namespace cuda {

void linear_back(ggml_tensor * dst, steer_cuda & c) {
    const int           first = params_of(dst).i[0] ? 1 : 0;
    const ggml_tensor * W     = dst->src[first];
    const ggml_tensor * dy    = dst->src[first + 1];
    const int64_t       K = W->ne[0], N = W->ne[1], T = dy->ne[1];
    require_f32(dst, K, T, "dst is not f32 [K,T]");
    require_packed(dy, N, T, "dy");
    const Rows<float> dx = rows_of<float>(dst);
    const InType      in(c, dy, dy->type);
    float             beta = first ? 1 : 0;
    for (int i = first + 2; i + 1 < GGML_MAX_SRC && dst->src[i]; i += 2) {
        const ggml_tensor * A  = dst->src[i];
        const ggml_tensor * dh = dst->src[i + 1];
        const int64_t       r  = A->ne[1];
        require_f32(A, K, r, "A is not f32 [K,r]");
        require(dh != nullptr, "A without dh");
        require_packed(dh, r, T, "dh");
        const InType down(c, A, dy->type), grad(c, dh, dy->type);
        product(c, dy->type, false, false, K, T, r, 1, down.matrix(), grad.matrix(), beta, dx.data, dx.stride);
        beta = 1;
    }
    const int64_t item = (int64_t) ggml_element_size(dy);
    Weights       weights(c, W, dy->type);
    for (int64_t n = 0; n < N; n += weights.chunk()) {
        const int64_t rows = std::min(weights.chunk(), N - n);
        const Matrix  part = { (const char *) in.matrix().data + n * item, in.matrix().ld };
        product(c, dy->type, false, false, K, T, rows, 1, weights.rows(n, rows), part, beta, dx.data, dx.stride);
        beta = 1;
    }
}

} // namespace cuda
} // namespace steer
