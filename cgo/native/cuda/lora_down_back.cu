// lora_down_back: dx += drop(A dh).
//   dx[k,t] += mask[k,t]/(1-p) * sum_j A[k,j] dh[j,t]
//   dst = src0 dx f32 [K,T] in place; src1 A f32 [K,r], src2 dh [r,T] f32 or bf16, src3 seeds I32 [2,T]

#include "lora.h"

namespace steer {
namespace cuda {

void lora_down_back(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     A  = dst->src[1];
    const ggml_tensor *     dh = dst->src[2];
    const steer_op_params & p  = params_of(dst);
    const int64_t           K = A->ne[0], r = A->ne[1], T = dh->ne[1];
    require_f32(dst, K, T, "dst is not f32 [K,T]");
    require_f32(A, K, r, "A is not f32");
    require_packed(dh, r, T, "dh");
    const Rows<float> dx = rows_of<float>(dst);
    const InType      down(c, A, dh->type), in(c, dh, dh->type);
    if (!Dropped::on(dst->src[3], p)) {
        product(c, dh->type, false, false, K, T, r, 1, down.matrix(), in.matrix(), 1, dx.data, dx.stride);
        return;
    }
    Scratch<float> whole(c, K * T);
    product(c, dh->type, false, false, K, T, r, 1, down.matrix(), in.matrix(), 0, whole, K);
    add_dropped(c, whole, dst, dst->src[3], p);
}

} // namespace cuda
} // namespace steer
