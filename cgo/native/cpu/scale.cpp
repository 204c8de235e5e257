// scale: y = f0 x.
//   dst y f32 or bf16 [n,T]; src0 x [n,T]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_scale(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * x = dst->src[0];
    const int64_t       n = dst->ne[0], T = dst->ne[1];
    check_f32(x, n, T);
    check_activation(dst, n, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    for (int64_t t = share.begin; t < share.end; t++) {
        float * y = out.row(t);
        std::memcpy(y, row_f32(x, t), n * sizeof(float));
        kernels().scale(y, (int) n, params_of(dst).f[0]);
        out.done(t);
    }
}
