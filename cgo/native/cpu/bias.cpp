// bias: y = x + b, token by token.
//   dst y f32 or bf16 [N,T]; src0 x [N,T], src1 b [N]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_bias(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * x = dst->src[0];
    const ggml_tensor * b = dst->src[1];
    const int64_t       N = dst->ne[0], T = dst->ne[1];
    check_f32(x, N, T);
    check_f32(b, N, 1);
    check_activation(dst, N, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    for (int64_t t = share.begin; t < share.end; t++) {
        kernels().add(row_f32(x, t), row_f32(b, 0), out.row(t), (int) N);
        out.done(t);
    }
}
