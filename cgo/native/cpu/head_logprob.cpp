// head_logprob: what a target row's distribution says, without ever holding all logits.
//   l_v = f0 * W_v . h[:, rows_r], or f0 * f1 tanh(W_v . h[:, rows_r] / f1) with a cap f1 > 0;
//   lse = log sum_v exp(l_v);  p_v = exp(l_v - lse)
//   dst [4,R] = logp = l_target - lse | entropy = lse - sum_v p_v l_v (0 unless i0) | lse
//             | 1 if no logit is above the target's and none of a smaller id equals it
//   src0 W [n,V], src1 h [n,T], src2 rows I32 [R], src3 targets I32 [R]
//   f0 = 1/temperature, i0 = entropy wanted, i1 = bf16 arithmetic
//
// Each thread owns targets and walks the vocabulary in groups, keeping for each row the
// running maximum m, sum of exp(l - m), and sum of exp(l - m)(l - m). Neighbours in the list
// that ask for the same row (the answers to one question) walk as one.

#include "head_walk.h"

#include <algorithm>

using namespace steer;

namespace {

// Targets [r0, r0 + n) of the list, n <= HEAD_ROWS, and the rows that walk for them.
struct Asked {
    int64_t n, n_rows = 0;
    int32_t rows[HEAD_ROWS];
    int32_t row_of[HEAD_ROWS]; // index into rows, ascending
    float   logit[HEAD_ROWS];  // of each target

    Asked(const int32_t * list, int64_t n) : n(n) {
        for (int64_t i = 0; i < n; i++) {
            if (i == 0 || list[i] != list[i - 1]) {
                rows[n_rows++] = list[i];
            }
            row_of[i] = (int32_t) n_rows - 1;
        }
    }
};

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
    RunningRow * state = scratch().get<RunningRow>(SLOT_A, HEAD_ROWS);
    float *      L     = scratch().get<float>(SLOT_B, HEAD_BLOCK * head.width());
    char *       x     = scratch().get<char>(SLOT_C, head.size_of_input(HEAD_ROWS));
    for (int64_t r0 = share.begin; r0 < share.end; r0 += HEAD_ROWS) {
        Asked asked(rows + r0, std::min(HEAD_ROWS, share.end - r0));
        head.gather(h, asked.rows, asked.n_rows, x);
        std::fill(state, state + asked.n_rows, RUNNING_START);
        for (int64_t v0 = 0; v0 < W->ne[1]; v0 += head.width()) {
            head.load(v0);
            for (int64_t i0 = 0, next = 0; i0 < asked.n_rows; i0 += HEAD_BLOCK) {
                const int64_t m = std::min(HEAD_BLOCK, asked.n_rows - i0);
                head.logits(x, i0, m, L, p.f[1]);
                for (int64_t i = 0; i < m; i++) {
                    raise_max(state[i0 + i], L + i * head.width(), head.count(), v0, p.f[0]);
                    add_logits(state[i0 + i], L + i * head.width(), head.count(), p.f[0]);
                }
                for (; next < asked.n && asked.row_of[next] < i0 + m; next++) {
                    const int64_t at = targets[r0 + next] - v0;
                    if (at >= 0 && at < head.count()) {
                        asked.logit[next] = L[(asked.row_of[next] - i0) * head.width() + at];
                    }
                }
            }
        }
        for (int64_t i = 0; i < asked.n; i++) {
            GGML_ASSERT(targets[r0 + i] >= 0 && targets[r0 + i] < W->ne[1]);
            finish_row(state[asked.row_of[i]], targets[r0 + i], asked.logit[i], p.f[0], p.i[0] != 0,
                       row_f32(dst, r0 + i));
        }
    }
}
