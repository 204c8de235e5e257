// head_logprob_back: gradient of head_logprob with respect to h.
//   dl_v = g_lp (1[v = target] - p_v) - g_ent p_v (log p_v + entropy)
//   dh[:, rows_r] += f0 sum_v dl_v W_v, with a cap f1 > 0 f0 sum_v dl_v (1 - (l_v / (f0 f1))^2) W_v
//   dst = src0 dh [n,T] in place; src1 W [n,V], src2 h [n,T], src3 rows I32 [R],
//   src4 targets I32 [R], src5 out [4,R] (dst of head_logprob), src6 g [2,R] = g_lp | g_ent
//   parameters as head_logprob; rows are distinct
//
// Threads own rows; logits are computed again, group by group, and each group's rows of W
// serve both products while they are unpacked.

#include "head_group.h"

#include <algorithm>

using namespace steer;

extern "C" void steer_cpu_head_logprob_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     W       = dst->src[1];
    const ggml_tensor *     h       = dst->src[2];
    const int32_t *         rows    = ints(dst->src[3]);
    const int32_t *         targets = ints(dst->src[4]);
    const ggml_tensor *     out     = dst->src[5];
    const ggml_tensor *     g       = dst->src[6];
    const steer_op_params & p       = params_of(dst);
    const int64_t           R = dst->src[3]->ne[0], K = W->ne[0];
    check_f32(dst, K, h->ne[1]);
    check_f32(out, 4, R);
    check_f32(g, 2, R);
    const bool  bf16 = head_bf16(W, h, p);
    const Share share(R, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    HeadLogits head(W, bf16);
    HeadGroup  back(head, K);
    float *    dx = scratch().get<float>(SLOT_A, HEAD_ROWS * K);
    float *    L  = scratch().get<float>(SLOT_B, HEAD_BLOCK * head.width());
    float *    slopes = p.f[1] > 0 ? scratch().get<float>(SLOT_E, HEAD_BLOCK * head.width()) : nullptr;
    char *     x  = scratch().get<char>(SLOT_C, head.size_of_input(HEAD_ROWS));
    for (int64_t r0 = share.begin; r0 < share.end; r0 += HEAD_ROWS) {
        const int64_t n = std::min(HEAD_ROWS, share.end - r0);
        head.gather(h, rows + r0, n, x);
        std::memset(dx, 0, n * K * sizeof(float));
        for (int64_t v0 = 0; v0 < W->ne[1]; v0 += head.width()) {
            head.load(v0);
            back.load();
            for (int64_t i0 = 0; i0 < n; i0 += HEAD_BLOCK) {
                const int64_t m = std::min(HEAD_BLOCK, n - i0);
                head.logits(x, i0, m, L, p.f[1], slopes);
                for (int64_t i = 0; i < m; i++) {
                    const int64_t r  = r0 + i0 + i;
                    const float * o  = row_f32(out, r);
                    const float * gr = row_f32(g, r);
                    float *       l  = L + i * head.width();
                    kernels().logprob_back(l, (int) head.count(), p.f[0], o[2], gr[0], gr[1], o[1]);
                    if (targets[r] >= v0 && targets[r] < v0 + head.count()) {
                        l[targets[r] - v0] += p.f[0] * gr[0];
                    }
                    if (slopes) {
                        kernels().multiply(l, slopes + i * head.width(), (int) head.count());
                    }
                }
                back.add(L, m, dx + i0 * K);
            }
        }
        for (int64_t i = 0; i < n; i++) {
            kernels().axpy(row_f32(dst, rows[r0 + i]), dx + i * K, (int) K, 1);
        }
    }
}
