// decode_rope: RoPE with a table that all layers share.
//   angle_i = pos freq_scale freq_base^(-2i/D) / factor_i;  c, s = attn_factor (cos, sin) angle_i
//   (x_a, x_b) -> (c x_a - s x_b, s x_a + c x_b),  (a, b) = (2i, 2i+1), or (i, i + D/2) for NEOX

#include "decode.h"

#include <cmath>

using namespace steer;

// The powers are multiplied up as ggml does, so that the angles are its own to the bit.
extern "C" void steer_decode_rope_table(ggml_tensor * dst, int ith, int nth, void * rope) {
    const DecodeRope & p     = *(const DecodeRope *) rope;
    const int          D     = p.dims;
    const float        ratio = powf(p.freq_base, -2.0f / (float) D);
    check_f32(dst, 2 * D, dst->src[0]->ne[0]);
    const Share share(dst->ne[1], ith, nth);
    for (int64_t t = share.begin; t < share.end; t++) {
        float *c = row_f32(dst, t), *s = c + D;
        float  theta = (float) ints(dst->src[0])[t];
        for (int i = 0; i < D / 2; i++, theta *= ratio) {
            const float angle = p.freq_scale * (theta / (p.factors ? ((const float *) p.factors->data)[i] : 1.0f));
            const int   a = p.neox ? i : 2 * i, b = p.neox ? i + D / 2 : 2 * i + 1;
            c[a] = c[b] = cosf(angle) * p.attn_factor;
            s[b]        = sinf(angle) * p.attn_factor;
            s[a]        = -s[b];
        }
    }
}

extern "C" void steer_decode_rope(ggml_tensor * dst, int ith, int nth, void * rope) {
    const DecodeRope &  p = *(const DecodeRope *) rope;
    const ggml_tensor * x = dst->src[0];
    const int           D = p.dims;
    GGML_ASSERT(x->ne[0] == D && x->nb[0] == sizeof(float) && ggml_are_same_shape(x, dst));
    const Share share(x->ne[1] * x->ne[2], ith, nth);
    for (int64_t u = share.begin; u < share.end; u++) {
        const int64_t t = u / x->ne[1], h = u % x->ne[1];
        const float * in  = (const float *) ((const char *) x->data + h * x->nb[1] + t * x->nb[2]);
        float *       out = (float *) ((char *) dst->data + h * dst->nb[1] + t * dst->nb[2]);
        const float * c   = row_f32(dst->src[1], t);
        const float * s   = c + D;
        if (p.neox) {
            for (int i = 0; i < D / 2; i++) {
                const float a = in[i], b = in[i + D / 2];
                out[i]         = a * c[i] + b * s[i];
                out[i + D / 2] = b * c[i + D / 2] + a * s[i + D / 2];
            }
        } else {
            for (int i = 0; i < D; i += 2) {
                const float a = in[i], b = in[i + 1];
                out[i]     = a * c[i] + b * s[i];
                out[i + 1] = b * c[i + 1] + a * s[i + 1];
            }
        }
    }
}
