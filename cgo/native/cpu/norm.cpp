// norm: y = w x r, r = 1/sqrt(mean(x^2) + eps), token by token (Zhang and Sennrich 2019).
//   dst y f32 or bf16 [n,T]; src0 x [n,T], src1 w [n]; f0 = eps
//   i1 = g > 0: the same for every g features by themselves, as the heads of a token; w is [g]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_norm(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * x = dst->src[0];
    const ggml_tensor * w = dst->src[1];
    const int64_t       n = x->ne[0], T = x->ne[1], g = params_of(dst).i[1] ? params_of(dst).i[1] : n;
    check_f32(x, n, T);
    check_f32(w, g, 1);
    check_activation(dst, n, T);
    const float eps = params_of(dst).f[0];
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    for (int64_t t = share.begin; t < share.end; t++) {
        for (int64_t i = 0; i < n; i += g) {
            kernels().rms_norm(row_f32(x, t) + i, row_f32(w, 0), out.row(t) + i, (int) g, eps);
        }
        out.done(t);
    }
}
