// lora_down: h = s A^T drop(x).
//   h[j,t] = f0 * sum_k A[k,j] drop(x)[k,t]
//   dst h [r,T]; src0 A [K,r], src1 x [K,T], src2 seeds I32 [2,T] (only with f1 = p > 0)
//
// Threads own tokens; each makes its own panels of the small A.

#include "lora.h"
#include "weights.h"

#include <algorithm>

namespace steer {

Dropout::Dropout(const ggml_tensor * seeds, const steer_op_params & p, int64_t T, int64_t t0, int64_t t1) :
    on_(seeds && p.f[1] > 0), threshold_(steer_dropout_threshold(p.f[1])),
    scale_(p.f[1] < 1 ? 1.0f / (1.0f - p.f[1]) : 0.0f) {
    GGML_ASSERT(p.f[1] <= 0 || seeds);
    if (!on_) {
        return;
    }
    GGML_ASSERT(seeds->type == GGML_TYPE_I32 && seeds->ne[0] == 2 && seeds->ne[1] == T);
    steer_dropout_key * keys = scratch().get<steer_dropout_key>(SLOT_KEYS, T);
    for (int64_t t = t0; t < t1; t++) {
        const uint32_t * s = (const uint32_t *) row_ptr(seeds, t);
        keys[t]            = steer_dropout_key_of(s[0], s[1], p.i[0]);
    }
    keys_ = keys;
}

} // namespace steer

using namespace steer;

extern "C" void steer_cpu_lora_down(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     A = dst->src[0];
    const ggml_tensor *     x = dst->src[1];
    const steer_op_params & p = params_of(dst);
    const int64_t           K = A->ne[0], r = A->ne[1], T = x->ne[1];
    check_f32(A, K, r);
    check_f32(x, K, T);
    check_f32(dst, r, T);
    const Share   share(T, ith, nth);
    const Dropout drop(dst->src[2], p, T, share.begin, share.end);
    if (share.begin == share.end) {
        return;
    }
    float * rows    = scratch().get<float>(SLOT_ROWS, PANEL * K);
    float * panel   = scratch().get<float>(SLOT_PANEL, PANEL * K);
    float * dropped = drop.on() ? scratch().get<float>(SLOT_A, TOKEN_BLOCK * K) : nullptr;
    for (int64_t j = 0; j < r; j += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, r - j);
        panel_of_rows_f32(A, j, lanes, 0, K, rows, panel);
        for (int64_t t = share.begin; t < share.end; t += TOKEN_BLOCK) {
            const int64_t n   = std::min(TOKEN_BLOCK, share.end - t);
            const float * in  = row_f32(x, t);
            ptrdiff_t     ldx = row_stride(x);
            if (drop.on()) {
                for (int64_t i = 0; i < n; i++) {
                    drop.apply(t + i, 0, row_f32(x, t + i), dropped + i * K, K, false);
                }
                in  = dropped;
                ldx = K;
            }
            kernels().gemm_f32((int) n, lanes, (int) K, in, ldx, 1, panel, panel_width(lanes), row_f32(dst, t) + j,
                               row_stride(dst), false);
            for (int64_t i = 0; i < n && p.f[0] != 1; i++) {
                kernels().scale(row_f32(dst, t + i) + j, lanes, p.f[0]);
            }
        }
    }
}
