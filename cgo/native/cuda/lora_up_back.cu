// lora_up_back: dh = s B dy.
//   dh[j,t] = f0 * sum_n B[j,n] dy[n,t]
//   dst dh [r,T]; src0 B f32 [r,N], src1 dy [N,T] of dh's type

#include "lora.h"

namespace steer {
namespace cuda {

void lora_up_back(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * B  = dst->src[0];
    const ggml_tensor * dy = dst->src[1];
    const int64_t       r = B->ne[0], N = B->ne[1], T = dy->ne[1];
    require_f32(B, r, N, "B is not f32");
    require_packed(dy, N, T, "dy");
    require_packed(dst, r, T, "dst");
    const InType up(c, B, dy->type), in(c, dy, dy->type);
    product_to(c, dst, dy->type, false, N, params_of(dst).f[0], up.matrix(), in.matrix());
}

} // namespace cuda
} // namespace steer
