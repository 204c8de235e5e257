// head_kl: the whole-vocabulary KL divergence of two hidden states' distributions.
//   a_v = f0 W_v . h1[:, rows_r],  b_v = f0 W_v . h2[:, rows_r]
//   with a cap f1 > 0: W_v . h becomes f1 tanh(W_v . h / f1)
//   KL = sum_v p1_v (log p1_v - log p2_v) = sum_v p1_v (a_v - b_v) - lse(a) + lse(b)
//   dst [R]; src0 W [n,V], src1 h1 [n,T], src2 h2 [n,T], src3 rows I32 [R]
//   f0 = 1/temperature, i1 = bf16 arithmetic

#include "head.h"

#include <algorithm>
#include <cmath>

using namespace steer;

namespace {

// Running maximum and sums of exp(f0 (l - max)) of one row under both distributions.
struct Running {
    float  max1, max2;
    double sum1, sum2, diff; // diff: sum of exp(f0 (a - max1)) f0 (a - b)
};

void update(Running & s, const float * a, const float * b, int64_t n, float f) {
    const float m1 = kernels().row_max(a, (int) n), m2 = kernels().row_max(b, (int) n);
    if (m1 > s.max1) {
        const double keep = std::exp(((double) s.max1 - m1) * f);
        s.sum1 *= keep;
        s.diff *= keep;
        s.max1 = m1;
    }
    if (m2 > s.max2) {
        s.sum2 *= std::exp(((double) s.max2 - m2) * f);
        s.max2 = m2;
    }
    float sum, other;
    kernels().exp_sums_diff(a, b, (int) n, f, s.max1, &sum, &other);
    s.sum1 += sum;
    s.diff += other;
    kernels().exp_sums(b, (int) n, f, s.max2, &sum, &other);
    s.sum2 += sum;
}

} // namespace

extern "C" void steer_cpu_head_kl(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     W    = dst->src[0];
    const ggml_tensor *     h1   = dst->src[1];
    const ggml_tensor *     h2   = dst->src[2];
    const int32_t *         rows = ints(dst->src[3]);
    const steer_op_params & p    = params_of(dst);
    const int64_t           R    = dst->src[3]->ne[0];
    check_f32(dst, R, 1);
    check_f32(h2, h1->ne[0], h1->ne[1]);
    const bool  bf16 = head_bf16(W, h1, p);
    const Share share(R, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    HeadLogits head(W, bf16);
    Running *  state = scratch().get<Running>(SLOT_A, HEAD_ROWS);
    float *    L1    = scratch().get<float>(SLOT_B, HEAD_BLOCK * head.width());
    float *    L2    = scratch().get<float>(SLOT_D, HEAD_BLOCK * head.width());
    char *     x1    = scratch().get<char>(SLOT_C, head.size_of_input(HEAD_ROWS));
    char *     x2    = scratch().get<char>(SLOT_E, head.size_of_input(HEAD_ROWS));
    for (int64_t r0 = share.begin; r0 < share.end; r0 += HEAD_ROWS) {
        const int64_t n = std::min(HEAD_ROWS, share.end - r0);
        head.gather(h1, rows + r0, n, x1);
        head.gather(h2, rows + r0, n, x2);
        for (int64_t i = 0; i < n; i++) {
            state[i] = { -INFINITY, -INFINITY, 0, 0, 0 };
        }
        for (int64_t v0 = 0; v0 < W->ne[1]; v0 += head.width()) {
            head.load(v0);
            for (int64_t i0 = 0; i0 < n; i0 += HEAD_BLOCK) {
                const int64_t m = std::min(HEAD_BLOCK, n - i0);
                head.logits(x1, i0, m, L1, p.f[1]);
                head.logits(x2, i0, m, L2, p.f[1]);
                for (int64_t i = 0; i < m; i++) {
                    update(state[i0 + i], L1 + i * head.width(), L2 + i * head.width(), head.count(), p.f[0]);
                }
            }
        }
        for (int64_t i = 0; i < n; i++) {
            const Running & s    = state[i];
            const double    lse1 = (double) s.max1 * p.f[0] + std::log(s.sum1);
            const double    lse2 = (double) s.max2 * p.f[0] + std::log(s.sum2);
            row_f32(dst, 0)[r0 + i] = (float) (s.diff / s.sum1 - lse1 + lse2);
        }
    }
}
