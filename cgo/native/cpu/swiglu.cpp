// swiglu: y = silu(gate) up, silu(g) = g / (1 + exp(-g)) (Shazeer 2020).
//   dst y f32 or bf16 [F,T]; src0 gate [F,T], src1 up [F,T]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_swiglu(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const int64_t       F = gate->ne[0], T = gate->ne[1];
    check_f32(gate, F, T);
    check_f32(up, F, T);
    check_activation(dst, F, T);
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    for (int64_t t = share.begin; t < share.end; t++) {
        kernels().swiglu(row_f32(gate, t), row_f32(up, t), out.row(t), (int) F);
        out.done(t);
    }
}
