// head_direction: head_logprob together with the direction of its gradient.
//   l_v = f0 W_v . h_r,  p = softmax(l):  logp, entropy, lse, greedy as head_logprob, and
//   u_r = d logp_r / d h_r = f0 ((1 - p_target) W_target - sum_{v != target} p_v W_v)
//   with a cap f1 > 0: l_v = f0 f1 tanh(W_v h_r / f1), and every W_v in u_r times 1 - (l_v / (f0 f1))^2
//   dst [4+n, R] = logp | entropy | lse | greedy | u; sources and parameters as head_logprob
//
// The gradient of any loss that sees the logits only through logp is g_r u_r, and u_r does
// not depend on the loss: it is summed in the same walk over the vocabulary, with the
// softmax's running maximum (as attention sums its values), so that the backward pass
// need not compute the logits again.

#include "head_group.h"
#include "head_walk.h"

#include <algorithm>
#include <cmath>

using namespace steer;

namespace {

// A row on its walk, and the sum of exp(f (l - max)) over all entries but the target: near
// certainty the target's share and the rest of the sum would cancel.
struct DirectionRow {
    RunningRow all;
    float      target; // its logit
    float      slope;  // of its capping
    double     others;
};

// exp(f (l - max)) of one group, 0 for the target, in the place of l or, rounded, in e; times the slopes of
// capped logits, which are never rounded here. What was summed before is scaled to the new maximum.
void exponentials(DirectionRow & s, float * l, const float * slopes, uint16_t * e, int64_t n, int64_t v0,
                  int32_t target, float f, float * u, int64_t K) {
    const double keep = raise_max(s.all, l, n, v0, f);
    if (keep != 1) {
        kernels().scale(u, (int) K, (float) keep);
        s.others *= keep;
    }
    const bool here = target >= v0 && target < v0 + n;
    s.target        = here ? l[target - v0] : s.target;
    s.slope         = here && slopes ? slopes[target - v0] : s.slope;
    if (e && !slopes) {
        s.others += add_logits(s.all, l, n, f, here ? (int) (target - v0) : -1, e);
        return;
    }
    add_logits(s.all, l, n, f); // the same sums, to the bit, as in head_logprob
    if (here) {
        l[target - v0] = -INFINITY;
    }
    s.others += kernels().exp_below(l, (int) n, f, s.all.max);
    if (slopes) {
        kernels().multiply(l, slopes, (int) n);
    }
}

// W's row of one vocabulary entry, rounded as the products see it.
void weight_row(const ggml_tensor * W, int64_t v, bool bf16, float * row) {
    const int64_t K = W->ne[0];
    if (!bf16) {
        unpack_row_f32(W->type, weight_ptr(W, v, 0), row, K);
        return;
    }
    uint16_t * rounded = scratch().get<uint16_t>(SLOT_F, K);
    unpack_row_bf16(W->type, weight_ptr(W, v, 0), rounded, K);
    kernels().from_bf16(rounded, row, K);
}

} // namespace

extern "C" void steer_cpu_head_direction(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     W       = dst->src[0];
    const ggml_tensor *     h       = dst->src[1];
    const int32_t *         rows    = ints(dst->src[2]);
    const int32_t *         targets = ints(dst->src[3]);
    const steer_op_params & p       = params_of(dst);
    const int64_t           R = dst->src[2]->ne[0], K = W->ne[0];
    check_f32(dst, 4 + K, R);
    const bool  bf16 = head_bf16(W, h, p);
    const Share share(R, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    HeadLogits   head(W, bf16);
    HeadGroup    group(head, K);
    DirectionRow * state = scratch().get<DirectionRow>(SLOT_D, HEAD_ROWS);
    float *      u     = scratch().get<float>(SLOT_A, HEAD_ROWS * K);
    float *      L     = scratch().get<float>(SLOT_B, HEAD_BLOCK * head.width());
    char *       x     = scratch().get<char>(SLOT_C, head.size_of_input(HEAD_ROWS));
    float *      row   = scratch().get<float>(SLOT_E, K);
    float *      slopes = p.f[1] > 0 ? scratch().get<float>(SLOT_OUT, HEAD_BLOCK * head.width()) : nullptr;
    for (int64_t r0 = share.begin; r0 < share.end; r0 += HEAD_ROWS) {
        const int64_t n = std::min(HEAD_ROWS, share.end - r0);
        head.gather(h, rows + r0, n, x);
        std::memset(u, 0, n * K * sizeof(float));
        for (int64_t i = 0; i < n; i++) {
            GGML_ASSERT(targets[r0 + i] >= 0 && targets[r0 + i] < W->ne[1]);
            state[i] = { RUNNING_START, 0, 1, 0 };
        }
        for (int64_t v0 = 0; v0 < W->ne[1]; v0 += head.width()) {
            head.load(v0);
            group.load();
            for (int64_t i0 = 0; i0 < n; i0 += HEAD_BLOCK) {
                const int64_t m = std::min(HEAD_BLOCK, n - i0);
                head.logits(x, i0, m, L, p.f[1], slopes);
                for (int64_t i = 0; i < m; i++) {
                    exponentials(state[i0 + i], L + i * head.width(), slopes ? slopes + i * head.width() : nullptr,
                                 bf16 ? group.rounded(i) : nullptr, head.count(), v0, targets[r0 + i0 + i], p.f[0],
                                 u + (i0 + i) * K, K);
                }
                if (bf16 && !slopes) {
                    group.add_rounded(m, u + i0 * K);
                } else {
                    group.add(L, m, u + i0 * K);
                }
            }
        }
        for (int64_t i = 0; i < n; i++) {
            const DirectionRow & st  = state[i];
            float *              out = row_f32(dst, r0 + i);
            finish_row(st.all, targets[r0 + i], st.target, p.f[0], p.i[0] != 0, out);
            weight_row(W, targets[r0 + i], bf16, row);
            const float other = (float) (p.f[0] * st.slope * st.others / st.all.sum),
                        inv   = (float) (p.f[0] / st.all.sum);
            for (int64_t k = 0; k < K; k++) {
                out[4 + k] = other * row[k] - inv * u[i * K + k];
            }
        }
    }
}
