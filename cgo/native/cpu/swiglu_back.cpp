// swiglu_back: gradient of y = silu(gate) up, silu(g) = g s(g), s the logistic function.
//   d_gate = dy up s(g) (1 + g (1 - s(g))),  d_up = dy g s(g)
//   dst f32 or bf16 [2F,T] = d_gate | d_up; src0 gate [F,T], src1 up [F,T], src2 dy [F,T]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_swiglu_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const ggml_tensor * dy   = dst->src[2];
    const int64_t       F = gate->ne[0], T = gate->ne[1];
    check_f32(gate, F, T);
    check_f32(up, F, T);
    check_f32(dy, F, T);
    check_activation(dst, 2 * F, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    for (int64_t t = share.begin; t < share.end; t++) {
        float * d = out.row(t);
        kernels().swiglu_back(row_f32(gate, t), row_f32(up, t), row_f32(dy, t), d, d + F, (int) F);
        out.done(t);
    }
}
