// swiglu: y = silu(gate) up, silu(g) = g / (1 + exp(-g)) (Shazeer 2020).
//   dst y f32 or bf16 [F,T]; src0 gate [F,T], src1 up [F,T], f32 or bf16

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_swiglu(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const int64_t       F = gate->ne[0], T = gate->ne[1];
    check_activation(gate, F, T);
    check_activation(up, F, T);
    check_activation(dst, F, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    float *     wide = scratch().get<float>(SLOT_A, 2 * F);
    const bool  narrow = is_bf16(gate) && is_bf16(up) && is_bf16(dst) && kernels().swiglu_bf16;
    for (int64_t t = share.begin; narrow && t < share.end; t++) {
        kernels().swiglu_bf16((const uint16_t *) row_ptr(gate, t), (const uint16_t *) row_ptr(up, t),
                              (uint16_t *) row_ptr(dst, t), (int) F);
    }
    for (int64_t t = share.begin; !narrow && t < share.end; t++) {
        kernels().swiglu(row_widened(gate, t, 0, F, wide), row_widened(up, t, 0, F, wide + F), out.row(t), (int) F);
        out.done(t);
    }
}
