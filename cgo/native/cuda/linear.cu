// linear: y = W^T x + sum of LoRA parts B^T h.
//   y[n,t] = sum_k W[k,n] x[k,t] + sum_parts sum_j B[j,n] h[j,t]
//   dst y [N,T] f32, or bf16 if x is; src0 W [K,N] any type, src1 x [K,T] f32 or bf16,
//   then up to four pairs B f32 [r,N], h [r,T] of x's type
//
// The arithmetic is x's type. The LoRA parts come first and W's product is added to them (beta = 1):
// it has so much to multiply that reading y takes no time of its own. A y in bf16 is rounded after each
// part, the small ones before the large one. W is unpacked chunk by chunk.

#include "product.h"

#include <algorithm>

namespace steer {
namespace cuda {

void linear(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * W = dst->src[0];
    const ggml_tensor * x = dst->src[1];
    const int64_t       K = W->ne[0], N = W->ne[1], T = x->ne[1];
    require_packed(dst, N, T, "dst");
    require(dst->type == GGML_TYPE_F32 || x->type == GGML_TYPE_BF16, "dst in bf16 of an x in f32");
    require_packed(x, K, T, "x");
    const int64_t item = (int64_t) ggml_element_size(dst), stride = (int64_t) dst->nb[1] / item;
    const InType  in(c, x, x->type);
    float         beta = 0;
    for (int i = 2; i + 1 < GGML_MAX_SRC && dst->src[i]; i += 2) {
        const ggml_tensor * B = dst->src[i];
        const ggml_tensor * h = dst->src[i + 1];
        const int64_t       r = B->ne[0];
        require_f32(B, r, N, "B is not f32 [r,N]");
        require(h != nullptr, "B without h");
        require_packed(h, r, T, "h");
        const InType up(c, B, x->type), down(c, h, x->type);
        product(c, x->type, true, false, N, T, r, 1, up.matrix(), down.matrix(), beta, dst->data, stride, dst->type);
        beta = 1;
    }
    Weights weights(c, W, x->type);
    for (int64_t n = 0; n < N; n += weights.chunk()) {
        const int64_t rows = std::min(weights.chunk(), N - n);
        product(c, x->type, true, false, rows, T, K, 1, weights.rows(n, rows), in.matrix(), beta,
                (char *) dst->data + n * item, stride, dst->type);
    }
}

} // namespace cuda
} // namespace steer
