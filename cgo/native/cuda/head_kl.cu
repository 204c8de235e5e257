// head_kl: the whole-vocabulary KL divergence of two hidden states' distributions.
//   a_v = f0 W_v . h1[:, rows_r],  b_v = f0 W_v . h2[:, rows_r]
//   with a cap f1 > 0: W_v . h becomes f1 tanh(W_v . h / f1)
//   KL = sum_v p1_v (log p1_v - log p2_v) = sum_v p1_v (a_v - b_v) - lse(a) + lse(b)
//   dst [R]; src0 W [n,V], src1 h1 [n,T], src2 h2 [n,T], src3 rows I32 [R]
//   f0 = 1/temperature, i1 = bf16 arithmetic

#include "head.h"

namespace steer {
namespace cuda {
namespace {

// Running maxima and sums of one row under both distributions.
struct Pair {
    double sum1, sum2, diff; // diff: sum of exp(f (a - max1)) f (a - b)
    float  max1, max2;       // of W.h, before f
};

// One target row a block.
__global__ void take_in_pair(Pair * state, const float * A, const float * B, int64_t ld, int count, bool first,
                             float f) {
    const int64_t r = blockIdx.x;
    const float * a = A + r * ld;
    const float * b = B + r * ld;
    Pair          s = { 0, 0, 0, -INFINITY, -INFINITY };
    const float   m1 = block_largest(a, count).value, m2 = block_largest(b, count).value;
    if (!first) {
        s = state[r];
    }
    if (m1 > s.max1) {
        const double keep = exp(((double) s.max1 - (double) m1) * f);
        s.sum1 *= keep;
        s.diff *= keep;
        s.max1 = m1;
    }
    if (m2 > s.max2) {
        s.sum2 *= exp(((double) s.max2 - (double) m2) * f);
        s.max2 = m2;
    }
    float sum1 = 0, sum2 = 0, diff = 0;
    for (int i = threadIdx.x; i < count; i += HEAD_THREADS) {
        const float e = expf((a[i] - s.max1) * f);
        sum1 += e;
        diff += e * ((a[i] - b[i]) * f);
        sum2 += expf((b[i] - s.max2) * f);
    }
    s.sum1 += block_sum((double) sum1);
    s.sum2 += block_sum((double) sum2);
    s.diff += block_sum((double) diff);
    if (threadIdx.x == 0) {
        state[r] = s;
    }
}

__global__ void finish_pairs(const Pair * state, float * dst, float f, int64_t n) {
    const int64_t r = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (r < n) {
        const Pair   s    = state[r];
        const double lse1 = (double) s.max1 * f + log(s.sum1), lse2 = (double) s.max2 * f + log(s.sum2);
        dst[r]            = (float) (s.diff / s.sum1 - lse1 + lse2);
    }
}

} // namespace

void head_kl(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     W    = dst->src[0];
    const ggml_tensor *     h1   = dst->src[1];
    const ggml_tensor *     h2   = dst->src[2];
    const int32_t *         rows = ints_of(dst->src[3]);
    const steer_op_params & p    = params_of(dst);
    const ggml_type         type = head_type(p);
    const int64_t           R = dst->ne[0], K = W->ne[0];
    require_head(W, h1, dst->src[3], p);
    require_f32(h2, K, h1->ne[1], "h2 is not f32 of h1's shape");
    require_f32(dst, R, 1, "dst is not f32 [R]");
    require_ints(dst->src[3], R, "rows are not I32 [R]");
    const int64_t  most = std::min(R, c.limits.head_rows);
    Weights        weights(c, W, type, c.limits.panel_vocab);
    Scratch<char>  x1(c, most * K * size_of(type)), x2(c, most * K * size_of(type));
    Scratch<float> L1(c, panel_items(c, weights, most)), L2(c, panel_items(c, weights, most));
    Scratch<Pair>  state(c, most);
    for (int64_t r = 0; r < R; r += most) {
        const int64_t n = std::min(most, R - r);
        gather_rows(c, h1, rows + r, n, type, x1);
        gather_rows(c, h2, rows + r, n, type, x2);
        each_panel(c, weights, W->ne[1], n, [&](const Panel & panel) {
            panel_logits(c, panel, type, K, x1, L1, p.f[1]);
            panel_logits(c, panel, type, K, x2, L2, p.f[1]);
            launch(c, "take_in_pair", take_in_pair, dim3((unsigned) panel.rows), HEAD_THREADS, 0, state + panel.row0,
                   (const float *) L1, (const float *) L2, panel.ld, (int) panel.count, panel.v0 == 0, p.f[0]);
        });
        launch(c, "finish_pairs", finish_pairs, dim3((unsigned) ((n + 127) / 128)), 128, 0, (const Pair *) state,
               (float *) dst->data + r, p.f[0], n);
    }
}

} // namespace cuda
} // namespace steer
