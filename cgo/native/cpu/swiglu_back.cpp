// swiglu_back: gradient of y = silu(gate) up, silu(g) = g s(g), s the logistic function.
//   d_gate = dy up s(g) (1 + g (1 - s(g))),  d_up = dy g s(g)
//   dst f32 or bf16 [2F,T] = d_gate | d_up; src0 gate [F,T], src1 up [F,T], f32 or bf16, src2 dy [F,T]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_swiglu_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const ggml_tensor * dy   = dst->src[2];
    const int64_t       F = gate->ne[0], T = gate->ne[1];
    check_activation(gate, F, T);
    check_activation(up, F, T);
    check_f32(dy, F, T);
    check_activation(dst, 2 * F, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    float *     wide = scratch().get<float>(SLOT_A, 2 * F);
    const bool  narrow = is_bf16(gate) && is_bf16(up) && is_bf16(dst) && kernels().swiglu_back_bf16;
    for (int64_t t = share.begin; narrow && t < share.end; t++) {
        uint16_t * d = (uint16_t *) row_ptr(dst, t);
        kernels().swiglu_back_bf16((const uint16_t *) row_ptr(gate, t), (const uint16_t *) row_ptr(up, t),
                                   row_f32(dy, t), d, d + F, (int) F);
    }
    for (int64_t t = share.begin; !narrow && t < share.end; t++) {
        float * d = out.row(t);
        kernels().swiglu_back(row_widened(gate, t, 0, F, wide), row_widened(up, t, 0, F, wide + F), row_f32(dy, t), d,
                              d + F, (int) F);
        out.done(t);
    }
}
