// rms_back: gradient of y = w x r, r = 1/sqrt(mean(x^2) + eps), with respect to x.
//   dx_i (+)= r w_i dy_i - x_i r^3/n sum_k w_k dy_k x_k
//   overwriting (i0 = 0): dst dx [n,T]; src0 x [n,T], src1 w [n], src2 dy [n,T]
//   accumulating (i0 = 1): dst = src0 dx in place; src1 x, src2 w, src3 dy
//   i1 = g > 0: the same for every g features by themselves, w is [g]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_rms_back(ggml_tensor * dst, int ith, int nth, void *) {
    const steer_op_params & p  = params_of(dst);
    const int               a  = p.i[0] ? 1 : 0;
    const ggml_tensor *     x  = dst->src[a];
    const ggml_tensor *     w  = dst->src[a + 1];
    const ggml_tensor *     dy = dst->src[a + 2];
    const int64_t           n = x->ne[0], T = x->ne[1], g = p.i[1] ? p.i[1] : n;
    check_f32(x, n, T);
    check_f32(w, g, 1);
    check_f32(dy, n, T);
    check_f32(dst, n, T);
    const Share share(T, ith, nth);
    for (int64_t t = share.begin; t < share.end; t++) {
        for (int64_t i = 0; i < n; i += g) {
            kernels().rms_back(row_f32(x, t) + i, row_f32(w, 0), row_f32(dy, t) + i, row_f32(dst, t) + i, (int) g,
                               p.f[0], a == 1);
        }
    }
}
