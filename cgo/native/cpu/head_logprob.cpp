// head_logprob: what a target row's distribution says, without ever holding all logits.
//   l_v = f0 * W_v . h[:, rows_r];  lse = log sum_v exp(l_v);  p_v = exp(l_v - lse)
//   dst [4,R] = logp = l_target - lse | entropy = lse - sum_v p_v l_v (0 unless i0) | lse
//             | 1 if no logit is above the target's and none of a smaller id equals it
//   src0 W [n,V], src1 h [n,T], src2 rows I32 [R], src3 targets I32 [R]
//   f0 = 1/temperature, i0 = entropy wanted, i1 = bf16 arithmetic
//
// Each thread owns target rows and walks the vocabulary in groups, keeping for each row
// the running maximum m, sum of exp(l - m), and sum of exp(l - m)(l - m).

#include "head.h"

#include <algorithm>
#include <cmath>

using namespace steer;

namespace {

struct Running {
    float   max;    // of W.h, before f0
    float   target; // W.h of the target
    int32_t argmax;
    double  sum, sum_x;
};

void update(Running & s, const float * l, int64_t n, int64_t v0, int32_t target, float f, bool entropy) {
    const float m = kernels().row_max(l, (int) n);
    if (m > s.max) {
        const double d = ((double) s.max - m) * f, keep = std::exp(d);
        s.sum_x = s.sum > 0 ? (s.sum_x + s.sum * d) * keep : 0;
        s.sum *= keep;
        s.max    = m;
        s.argmax = (int32_t) (v0 + (std::find(l, l + n, m) - l));
    }
    float sum, sum_x;
    kernels().exp_sums(l, (int) n, f, s.max, &sum, &sum_x);
    s.sum += sum;
    s.sum_x += sum_x;
    if (target >= v0 && target < v0 + n) {
        s.target = l[target - v0];
    }
}

} // namespace

extern "C" void steer_cpu_head_logprob(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     W       = dst->src[0];
    const ggml_tensor *     h       = dst->src[1];
    const int32_t *         rows    = ints(dst->src[2]);
    const int32_t *         targets = ints(dst->src[3]);
    const steer_op_params & p       = params_of(dst);
    const int64_t           R       = dst->src[2]->ne[0];
    check_f32(dst, 4, R);
    const bool  bf16 = head_bf16(W, h, p);
    const Share share(R, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    HeadLogits head(W, bf16);
    Running *  state = scratch().get<Running>(SLOT_A, HEAD_ROWS);
    float *    L     = scratch().get<float>(SLOT_B, HEAD_BLOCK * head.width());
    char *     x     = scratch().get<char>(SLOT_C, head.size_of_input(HEAD_ROWS));
    for (int64_t r0 = share.begin; r0 < share.end; r0 += HEAD_ROWS) {
        const int64_t n = std::min(HEAD_ROWS, share.end - r0);
        head.gather(h, rows + r0, n, x);
        for (int64_t i = 0; i < n; i++) {
            GGML_ASSERT(targets[r0 + i] >= 0 && targets[r0 + i] < W->ne[1]);
            state[i] = { -INFINITY, 0, 0, 0, 0 };
        }
        for (int64_t v0 = 0; v0 < W->ne[1]; v0 += head.width()) {
            head.load(v0);
            for (int64_t i0 = 0; i0 < n; i0 += HEAD_BLOCK) {
                const int64_t m = std::min(HEAD_BLOCK, n - i0);
                head.logits(x, i0, m, L);
                for (int64_t i = 0; i < m; i++) {
                    update(state[i0 + i], L + i * head.width(), head.count(), v0, targets[r0 + i0 + i], p.f[0], p.i[0] != 0);
                }
            }
        }
        for (int64_t i = 0; i < n; i++) {
            const Running & s       = state[i];
            const double    log_sum = std::log(s.sum);
            float *         out     = row_f32(dst, r0 + i);
            out[0]                  = (float) (((double) s.target - s.max) * p.f[0] - log_sum);
            out[1]                  = p.i[0] ? (float) (log_sum - s.sum_x / s.sum) : 0.0f;
            out[2]                  = (float) ((double) s.max * p.f[0] + log_sum);
            out[3]                  = s.argmax == targets[r0 + i] ? 1.0f : 0.0f;
        }
    }
}
