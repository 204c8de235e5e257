// outer_acc: G += drop(u) v^T, the gradient of a LoRA matrix.
//   G[i,j] += sum_t drop(u)[i,t] v[j,t]
//   dst = src0 G f32 [M,J] in place; src1 u [M,T], src2 v [J,T], src3 seeds I32 [2,T]
//   (u = x, v = dh gives dA; u = h, v = dy gives dB)
//
// In bf16 if u or v is, with sums in f32.

#include "lora.h"

namespace steer {
namespace cuda {

void outer_acc(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * u = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    const int64_t       M = u->ne[0], J = v->ne[0], T = u->ne[1];
    require_f32(dst, M, J, "dst is not f32 [M,J]");
    require_packed(u, M, T, "u");
    require_packed(v, J, T, "v");
    const Rows<float> G = rows_of<float>(dst);
    if (u->type == v->type) {
        const Dropped left(c, u, dst->src[3], params_of(dst));
        const InType  right(c, v, v->type);
        product(c, u->type, false, true, M, J, T, 1, left.matrix(), right.matrix(), 1, G.data, G.stride);
        return;
    }
    require(!Dropped::on(dst->src[3], params_of(dst)), "dropout with operands of two types");
    const InType left(c, u, GGML_TYPE_BF16), right(c, v, GGML_TYPE_BF16);
    product(c, GGML_TYPE_BF16, false, true, M, J, T, 1, left.matrix(), right.matrix(), 1, G.data, G.stride);
}

} // namespace cuda
} // namespace steer
