// lora_up_back: dh = s B dy.
//   dh[j,t] = f0 * sum_n B[j,n] dy[n,t]
//   dst dh f32 or bf16 [r,T]; src0 B [r,N], src1 dy f32 or bf16 [N,T]

#include "linear.h"
#include "lora.h"

#include <algorithm>

using namespace steer;

namespace {

// Rows of dy that are widened at a time.
constexpr int64_t BLOCK = 14;

void up_back_f32(const ggml_tensor * dy, int64_t t, int64_t n, int lanes, const float * panel, float * dh) {
    const int64_t N = dy->ne[0];
    if (!is_bf16(dy)) {
        kernels().gemm_f32((int) n, lanes, (int) N, row_f32(dy, t), row_stride(dy), 1, panel, panel_width(lanes), dh,
                           PANEL, false);
        return;
    }
    float * wide = scratch().get<float>(SLOT_A, BLOCK * N);
    for (int64_t b = 0; b < n; b += BLOCK) {
        const int64_t m = std::min(BLOCK, n - b);
        for (int64_t i = 0; i < m; i++) {
            kernels().from_bf16((const uint16_t *) row_ptr(dy, t + b + i), wide + i * N, N);
        }
        kernels().gemm_f32((int) m, lanes, (int) N, wide, N, 1, panel, panel_width(lanes), dh + b * PANEL, PANEL,
                           false);
    }
}

} // namespace

extern "C" void steer_cpu_lora_up_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * B  = dst->src[0];
    const ggml_tensor * dy = dst->src[1];
    const int64_t       r = B->ne[0], N = B->ne[1], T = dy->ne[1];
    check_f32(B, r, N);
    check_activation(dy, N, T);
    check_activation(dst, r, T);
    const Share share(T, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    const bool bf16  = feed_of(dy, N) == Feed::BF16;
    float *    panel = scratch().get<float>(SLOT_PANEL, PANEL * N);
    float      dh[TOKEN_BLOCK * PANEL];
    for (int64_t j = 0; j < r; j += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, r - j);
        if (bf16) {
            panels_of_cols_bf16(B, 0, N, j, lanes, (uint32_t *) panel, 0);
        } else {
            panels_of_cols_f32(B, 0, N, j, lanes, panel, 0);
        }
        for (int64_t t = share.begin; t < share.end; t += TOKEN_BLOCK) {
            const int64_t n = std::min(TOKEN_BLOCK, share.end - t);
            if (bf16) {
                kernels().gemm_bf16((int) n, lanes, (int) (N / 2), (const uint16_t *) row_ptr(dy, t), row_stride(dy),
                                    (const uint32_t *) panel, panel_width(lanes), dh, PANEL, false);
            } else {
                up_back_f32(dy, t, n, lanes, panel, dh);
            }
            store_scaled(dh, n, lanes, params_of(dst).f[0], dst, t, j);
        }
    }
}
