// rope_table: cosines and sines of every position's rotation angles.
//   angle_i = pos_t freq_scale freq_base^(-2i/D) / freqs_i,  i < D/2
//   dst [D,T]: cos_0, sin_0, cos_1, sin_1, ..., each times attn_factor
//   src0 pos I32 [T], src1 freqs f32 [>= D/2] or absent; f0 = freq_base, f1 = freq_scale, f2 = attn_factor
//
// In double: once a step, and an f32 angle loses what long contexts need.

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token a block.
__global__ void rope_angles(const int32_t * pos, const float * freqs, Rows<float> table, int half, double base,
                            double scale, double factor) {
    float *      out = table.data + blockIdx.x * table.stride;
    const double p   = (double) pos[blockIdx.x] * scale;
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        const double angle = p * pow(base, -(double) i / half) / (freqs ? (double) freqs[i] : 1.0);
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
    launch(c, "rope_angles", rope_angles, dim3((unsigned) T), 64, 0, ints_of(dst->src[0]),
           freqs ? floats_of(freqs) : nullptr, rows_of<float>(dst), (int) (D / 2), (double) p.f[0], (double) p.f[1],
           (double) p.f[2]);
}

} // namespace cuda
} // namespace steer
