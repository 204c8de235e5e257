// rope: rotates pairs of features by their token's angles, or back (Su et al. 2021).
//   y_a = x_a c - x_b s,  y_b = x_a s + x_b c  (back: s -> -s)
//   for the pairs (a, b) = (2i, 2i+1) (i1 = 0) or (i, i + R/2) (i1 = 2, NEOX) of every head's first R features
//   dst y f32 or bf16 [D*H,T], or src0 in place; src0 x [D*H,T], src1 table [R,T] of rope_table, R <= D
//   i0 = D, i1 = mode, i2 = back

#include "common.h"

using namespace steer;

namespace {

void rotate_halves(const float * x, const float * table, float * y, int D, float sign) {
    const int half = D / 2;
    for (int i = 0; i < half; i++) {
        const float c = table[2 * i], s = sign * table[2 * i + 1], a = x[i], b = x[i + half];
        y[i]        = a * c - b * s;
        y[i + half] = a * s + b * c;
    }
}

} // namespace

extern "C" void steer_cpu_rope(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     x     = dst->src[0];
    const ggml_tensor *     table = dst->src[1];
    const steer_op_params & p     = params_of(dst);
    const int               D = p.i[0], R = (int) table->ne[0];
    const int64_t           n = x->ne[0], T = x->ne[1];
    GGML_ASSERT(D > 0 && D % 2 == 0 && n % D == 0 && R <= D && R % 2 == 0);
    check_f32(x, n, T);
    check_f32(table, R, T);
    check_activation(dst, n, T);
    const float sign = p.i[2] ? -1.0f : 1.0f;
    const Share share(T, ith, nth);
    RowWriter   out(dst);
    for (int64_t t = share.begin; t < share.end; t++) {
        const float * in = row_f32(x, t);
        float *       y  = out.row(t);
        for (int64_t h = 0; h < n; h += D) {
            if (p.i[1] == 2) {
                rotate_halves(in + h, row_f32(table, t), y + h, R, sign);
            } else {
                kernels().rotate_pairs(in + h, row_f32(table, t), y + h, R, sign);
            }
            if (R < D && in != y) {
                std::memcpy(y + h + R, in + h + R, (D - R) * sizeof(float));
            }
        }
        out.done(t);
    }
}
