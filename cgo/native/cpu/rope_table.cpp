// rope_table: cosine and sine of every token's rotation angles (Su et al. 2021).
//   angle_i = pos_t f0^(-2i/R) (f1 (1 - m_i) + m_i) / freqs_i,  0 <= i < R/2
//   m_i = 0; with YaRN (i0 = 1; Peng et al. 2023, arXiv:2309.00071) 1 - clamp((i - i1) / (i2 - i1), 0, 1)
//   dst [R,T]: c cos(angle_0), c sin(angle_0), c cos(angle_1), ...
//   c = f2 (1 + f3 log(1 + floor(pos_t / i3))), f3 = 0: f2
//   src0 pos I32 [T], src1 freqs [>= R/2] (Llama 3's factors, or longrope's; may be absent, then 1)
//   f0 = base, f1 = frequency scale (linear scaling), f2 = magnitude, f3, i3 = growth of queries (Mistral 3)
// As ggml's ROPE, whose magnitude with YaRN is in f2; angles are in double.

#include "common.h"

#include <algorithm>
#include <cmath>

using namespace steer;

namespace {

// Of pair i: how much of its turning is left as it is.
double unscaled(const steer_op_params & p, int64_t i) {
    if (!p.i[0]) {
        return 0;
    }
    const double ramp = ((double) i - p.i[1]) / std::max(0.001, (double) (p.i[2] - p.i[1]));
    return 1 - std::min(1.0, std::max(0.0, ramp));
}

double magnitude(const steer_op_params & p, int32_t pos) {
    return p.f[3] == 0 ? (double) p.f[2] : p.f[2] * (1 + p.f[3] * std::log(1 + std::floor((double) pos / p.i[3])));
}

} // namespace

extern "C" void steer_cpu_rope_table(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     pos   = dst->src[0];
    const ggml_tensor *     freqs = dst->src[1];
    const steer_op_params & p     = params_of(dst);
    const int64_t           R = dst->ne[0], T = dst->ne[1];
    check_f32(dst, R, T);
    GGML_ASSERT(pos->type == GGML_TYPE_I32 && pos->ne[0] == T && R % 2 == 0);
    const Share share(T, ith, nth);
    double *    speed = scratch().get<double>(SLOT_A, R / 2); // radians a position
    for (int64_t i = 0; i < R / 2; i++) {
        const double scale = p.i[0] ? p.f[1] * (1 - unscaled(p, i)) + unscaled(p, i) : (double) p.f[1];
        speed[i] =
            scale * std::pow((double) p.f[0], -2.0 * (double) i / (double) R) / (freqs ? row_f32(freqs, 0)[i] : 1.0f);
    }
    for (int64_t t = share.begin; t < share.end; t++) {
        float *      row = row_f32(dst, t);
        const double c   = magnitude(p, ints(pos)[t]);
        for (int64_t i = 0; i < R / 2; i++) {
            const double angle = ints(pos)[t] * speed[i];
            row[2 * i]         = (float) (c * std::cos(angle));
            row[2 * i + 1]     = (float) (c * std::sin(angle));
        }
    }
}
