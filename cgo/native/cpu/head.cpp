#include "head.h"

#include <algorithm>

namespace steer {

HeadLogits::HeadLogits(const ggml_tensor * W, bool bf16) : W_(W), bf16_(bf16) {
    const int64_t K    = W->ne[0];
    const int64_t item = bf16 ? 2 : 4;
    // A group's panels should stay in the second-level cache; at least one panel.
    width_  = std::min<int64_t>(256, std::max<int64_t>(1, 256 * 1024 / (K * item * PANEL)) * PANEL);
    rows_   = scratch().get<char>(SLOT_ROWS, width_ * K * item);
    panels_ = scratch().get<char>(SLOT_PANEL, width_ * K * item);
}

void HeadLogits::gather(const ggml_tensor * h, const int32_t * rows, int64_t n, void * x) const {
    const int64_t K = W_->ne[0];
    for (int64_t i = 0; i < n; i++) {
        GGML_ASSERT(rows[i] >= 0 && rows[i] < h->ne[1]);
        if (bf16_) {
            kernels().to_bf16(row_f32(h, rows[i]), (uint16_t *) x + i * K, K);
        } else {
            std::memcpy((float *) x + i * K, row_f32(h, rows[i]), K * sizeof(float));
        }
    }
}

void HeadLogits::load(int64_t v0) {
    const int64_t K = W_->ne[0];
    v0_             = v0;
    count_          = std::min(width_, W_->ne[1] - v0);
    for (int64_t v = 0; v < count_; v += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, count_ - v);
        if (bf16_) {
            panel_of_rows_bf16(W_, v0 + v, lanes, 0, K, (uint16_t *) rows_ + v * K, (uint32_t *) panels_ + v * K / 2);
        } else {
            panel_of_rows_f32(W_, v0 + v, lanes, 0, K, (float *) rows_ + v * K, (float *) panels_ + v * K);
        }
    }
}

void HeadLogits::logits(const void * x, int64_t i0, int64_t n, float * L, float cap, float * slopes) const {
    const int64_t K = W_->ne[0];
    if (bf16_) {
        product_bf16(n, count_, K, (const uint16_t *) x + i0 * K, K, (const uint32_t *) panels_, PANEL * K / 2, L,
                     width_, false);
    } else {
        product_f32(n, count_, K, (const float *) x + i0 * K, K, (const float *) panels_, PANEL * K, L, width_, false);
    }
    for (int64_t i = 0; cap > 0 && i < n; i++) {
        kernels().cap(L + i * width_, slopes ? slopes + i * width_ : nullptr, (int) count_, 1, cap);
    }
}

bool head_bf16(const ggml_tensor * W, const ggml_tensor * h, const steer_op_params & p) {
    check_f32(h, W->ne[0], h->ne[1]);
    GGML_ASSERT(p.f[0] > 0 && steer_weight_type_ok(W->type));
    return p.i[1] && kernels().gemm_bf16 && W->ne[0] % 2 == 0;
}

} // namespace steer
