// rope_table: cosines and sines of every position's rotation angles.
//   angle_i = pos_t f0^(-2i/R) (f1 (1 - m_i) + m_i) / freqs_i,  0 <= i < R/2
//   m_i = 0; with YaRN (i0 = 1; Peng et al. 2023) 1 - clamp((i - i1) / (i2 - i1), 0, 1)
//   dst [R,T]: cos_0, sin_0, cos_1, sin_1, ..., each times f2 (1 + f3 log(1 + floor(pos_t / i3))), f3 = 0: f2
//   src0 pos I32 [T], src1 freqs f32 [>= R/2] or absent
//   f0 = base, f1 = frequency scale, f2 = magnitude, f3, i3 = growth of queries
//
// In double: once a step, and an f32 angle loses what long contexts need.

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

struct Angles {
    double base, scale, magnitude, growth;
    int    floor, yarn, low, high;
};

// One token a block.
__global__ void rope_angles(const int32_t * pos, const float * freqs, Rows<float> table, int half, Angles a) {
    float *      out    = table.data + blockIdx.x * table.stride;
    const double p      = (double) pos[blockIdx.x] * (a.yarn ? 1.0 : a.scale);
    const double factor =
        a.growth == 0 ? a.magnitude : a.magnitude * (1 + a.growth * log(1 + floor((double) pos[blockIdx.x] / a.floor)));
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        double angle = p * pow(a.base, -(double) i / half) / (freqs ? (double) freqs[i] : 1.0);
        if (a.yarn) {
            const double span = (double) (a.high - a.low), ramp = (i - a.low) / (span < 0.001 ? 0.001 : span);
            const double kept = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
            angle *= a.scale * (1 - kept) + kept;
        }
        out[2 * i]         = (float) (cos(angle) * factor);
        out[2 * i + 1]     = (float) (sin(angle) * factor);
    }
}

} // namespace

void rope_table(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     freqs = dst->src[1];
    const steer_op_params & p     = params_of(dst);
    const int64_t           D = dst->ne[0], T = dst->ne[1];
    require_f32(dst, D, T, "dst is not f32");
    require(D % 2 == 0, "an odd number of angles");
    require_ints(dst->src[0], T, "pos is not I32 [T]");
    require(!freqs || (freqs->type == GGML_TYPE_F32 && freqs->ne[0] >= D / 2), "freqs is not f32 [>= D/2]");
    require(p.f[3] == 0 || p.i[3] > 0, "growth without a floor");
    const Angles a = { (double) p.f[0], (double) p.f[1], (double) p.f[2], (double) p.f[3],
                       p.i[3],          p.i[0],          p.i[1],          p.i[2] };
    launch(c, "rope_angles", rope_angles, dim3((unsigned) T), 64, 0, ints_of(dst->src[0]),
           freqs ? floats_of(freqs) : nullptr, rows_of<float>(dst), (int) (D / 2), a);
}

} // namespace cuda
} // namespace steer
