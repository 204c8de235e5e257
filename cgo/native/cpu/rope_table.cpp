// rope_table: cosine and sine of every token's rotation angles (Su et al. 2021).
//   angle_i = pos_t * f1 * f0^(-2i/D) / freqs_i,  0 <= i < D/2
//   dst [D,T]: f2 cos(angle_0), f2 sin(angle_0), f2 cos(angle_1), ...
//   src0 pos I32 [T], src1 freqs [>= D/2] (Llama 3's factors; may be absent, then 1)
//   f0 = base, f1 = frequency scale (linear scaling), f2 = magnitude
// As ggml's ROPE with ext_factor 0; angles are in double.

#include "common.h"

#include <cmath>

using namespace steer;

extern "C" void steer_cpu_rope_table(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     pos   = dst->src[0];
    const ggml_tensor *     freqs = dst->src[1];
    const steer_op_params & p     = params_of(dst);
    const int64_t           D = dst->ne[0], T = dst->ne[1];
    check_f32(dst, D, T);
    GGML_ASSERT(pos->type == GGML_TYPE_I32 && pos->ne[0] == T && D % 2 == 0);
    const Share share(T, ith, nth);
    double *    speed = scratch().get<double>(SLOT_A, D / 2); // radians a position
    for (int64_t i = 0; i < D / 2; i++) {
        speed[i] =
            p.f[1] * std::pow((double) p.f[0], -2.0 * (double) i / (double) D) / (freqs ? row_f32(freqs, 0)[i] : 1.0f);
    }
    for (int64_t t = share.begin; t < share.end; t++) {
        float * row = row_f32(dst, t);
        for (int64_t i = 0; i < D / 2; i++) {
            const double angle = ints(pos)[t] * speed[i];
            row[2 * i]         = (float) (p.f[2] * std::cos(angle));
            row[2 * i + 1]     = (float) (p.f[2] * std::sin(angle));
        }
    }
}
