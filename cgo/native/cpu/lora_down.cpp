// lora_down: h = s A^T drop(x).
//   h[j,t] = f0 * sum_k A[k,j] drop(x)[k,t]
//   dst h f32 or bf16 [r,T]; src0 A [K,r], src1 x f32 or bf16 [K,T], src2 seeds I32 [2,T] (only with f1 = p > 0)
//
// Threads own tokens; each makes its own panels of the small A.

#include "linear.h"
#include "lora.h"

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

void store_scaled(float * h, int64_t n, int lanes, float scale, ggml_tensor * dst, int64_t t, int64_t j) {
    for (int64_t i = 0; i < n; i++, h += PANEL) {
        if (scale != 1) {
            kernels().scale(h, lanes, scale);
        }
        if (is_bf16(dst)) {
            kernels().to_bf16(h, (uint16_t *) row_ptr(dst, t + i) + j, lanes);
        } else {
            std::memcpy(row_f32(dst, t + i) + j, h, lanes * sizeof(float));
        }
    }
}

} // namespace steer

using namespace steer;

namespace {

// h[0..lanes) of n tokens from t on by the bf16 dot product.
void down_bf16(const ggml_tensor * x, int64_t t, int64_t n, int lanes, const uint32_t * panel, float * h) {
    kernels().gemm_bf16((int) n, lanes, (int) (x->ne[0] / 2), (const uint16_t *) row_ptr(x, t), row_stride(x), panel,
                        panel_width(lanes), h, PANEL, false);
}

// The same in f32; rows are widened and dropped out first where needed.
void down_f32(const ggml_tensor * x, const Dropout & drop, int64_t t, int64_t n, int lanes, const float * panel,
              float * h) {
    const int64_t K   = x->ne[0];
    const float * in  = row_f32(x, t);
    ptrdiff_t     ldx = row_stride(x);
    if (drop.on() || is_bf16(x)) {
        float * own  = scratch().get<float>(SLOT_A, TOKEN_BLOCK * K);
        float * wide = scratch().get<float>(SLOT_B, K);
        for (int64_t i = 0; i < n; i++) {
            if (drop.on()) {
                drop.apply(t + i, 0, row_widened(x, t + i, 0, K, wide), own + i * K, K, false);
            } else {
                kernels().from_bf16((const uint16_t *) row_ptr(x, t + i), own + i * K, K);
            }
        }
        in  = own;
        ldx = K;
    }
    kernels().gemm_f32((int) n, lanes, (int) K, in, ldx, 1, panel, panel_width(lanes), h, PANEL, false);
}

} // namespace

extern "C" void steer_cpu_lora_down(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *     A = dst->src[0];
    const ggml_tensor *     x = dst->src[1];
    const steer_op_params & p = params_of(dst);
    const int64_t           K = A->ne[0], r = A->ne[1], T = x->ne[1];
    check_f32(A, K, r);
    check_activation(x, K, T);
    check_activation(dst, r, T);
    const Share   share(T, ith, nth);
    const Dropout drop(dst->src[2], p, T, share.begin, share.end);
    if (share.begin == share.end) {
        return;
    }
    const bool bf16  = feed_of(x, K) == Feed::BF16 && !drop.on();
    float *    rows  = scratch().get<float>(SLOT_ROWS, PANEL * K);
    float *    panel = scratch().get<float>(SLOT_PANEL, PANEL * K);
    float      h[TOKEN_BLOCK * PANEL];
    for (int64_t j = 0; j < r; j += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, r - j);
        if (bf16) {
            panel_of_rows_bf16(A, j, lanes, 0, K, (uint16_t *) rows, (uint32_t *) panel);
        } else {
            panel_of_rows_f32(A, j, lanes, 0, K, rows, panel);
        }
        for (int64_t t = share.begin; t < share.end; t += TOKEN_BLOCK) {
            const int64_t n = std::min(TOKEN_BLOCK, share.end - t);
            if (bf16) {
                down_bf16(x, t, n, lanes, (const uint32_t *) panel, h);
            } else {
                down_f32(x, drop, t, n, lanes, panel, h);
            }
            store_scaled(h, n, lanes, p.f[0], dst, t, j);
        }
    }
}
