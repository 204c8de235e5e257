// geglu: y = gelu(gate) up, gelu(g) = g/2 (1 + tanh z) = g / (1 + exp(-2z)), z = sqrt(2/pi) (g + 0.044715 g^3)
// (Hendrycks and Gimpel 2016, arXiv:1606.08415; Shazeer 2020), exact: ggml's CPU kernel reads a table of half floats.
//   dst y f32 or bf16 [F,T]; src0 gate [F,T], src1 up [F,T], f32 or bf16

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_geglu(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const int64_t       F = gate->ne[0], T = gate->ne[1];
    check_activation(gate, F, T);
    check_activation(up, F, T);
    check_activation(dst, F, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    float *     wide = scratch().get<float>(SLOT_A, 2 * F);
    const bool  narrow = is_bf16(gate) && is_bf16(up) && is_bf16(dst) && kernels().geglu_bf16;
    for (int64_t t = share.begin; narrow && t < share.end; t++) {
        kernels().geglu_bf16((const uint16_t *) row_ptr(gate, t), (const uint16_t *) row_ptr(up, t),
                             (uint16_t *) row_ptr(dst, t), (int) F);
    }
    for (int64_t t = share.begin; !narrow && t < share.end; t++) {
        kernels().geglu(row_widened(gate, t, 0, F, wide), row_widened(up, t, 0, F, wide + F), out.row(t), (int) F);
        out.done(t);
    }
}
