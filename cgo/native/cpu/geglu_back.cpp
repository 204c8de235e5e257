// geglu_back: gradient of y = gelu(gate) up, gelu(g) = g s(2z), z = sqrt(2/pi) (g + 0.044715 g^3),
//   s the logistic function.
//   d_gate = dy up s (1 + 2 g z' (1 - s)),  z' = sqrt(2/pi) (1 + 0.134145 g^2),  d_up = dy g s
//   dst f32 or bf16 [2F,T] = d_gate | d_up; src0 gate [F,T], src1 up [F,T], f32 or bf16, src2 dy [F,T]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_geglu_back(ggml_tensor * dst, int ith, int nth, void *) {
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
    const bool  narrow = is_bf16(gate) && is_bf16(up) && is_bf16(dst) && kernels().geglu_back_bf16;
    for (int64_t t = share.begin; narrow && t < share.end; t++) {
        uint16_t * d = (uint16_t *) row_ptr(dst, t);
        kernels().geglu_back_bf16((const uint16_t *) row_ptr(gate, t), (const uint16_t *) row_ptr(up, t),
                                  row_f32(dy, t), d, d + F, (int) F);
    }
    for (int64_t t = share.begin; !narrow && t < share.end; t++) {
        float * d = out.row(t);
        kernels().geglu_back(row_widened(gate, t, 0, F, wide), row_widened(up, t, 0, F, wide + F), row_f32(dy, t), d,
                             d + F, (int) F);
        out.done(t);
    }
}
