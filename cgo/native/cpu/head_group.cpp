#include "head_group.h"

#include <algorithm>

namespace steer {

HeadGroup::HeadGroup(const HeadLogits & head, int64_t K) : head_(head), K_(K) {
    const int64_t panels = (K + PANEL - 1) / PANEL;
    panels_ = scratch().get<uint32_t>(SLOT_G, head.width() * panels * PANEL / (head.bf16() ? 2 : 1));
    sum_    = head.bf16() ? nullptr : scratch().get<float>(SLOT_I, HEAD_BLOCK * K);
    c_      = head.bf16() ? scratch().get<uint16_t>(SLOT_H, HEAD_BLOCK * head.width()) : nullptr;
}

void HeadGroup::load() {
    const int64_t n = head_.count();
    for (int64_t k = 0; k < K_; k += PANEL) {
        const int  lanes = (int) std::min<int64_t>(PANEL, K_ - k), width = panel_width(lanes);
        uint32_t * panel = panels_ + k / PANEL * stride();
        if (!head_.bf16()) {
            kernels().copy_padded((const float *) head_.unpacked() + k, K_, n, lanes, (float *) panel, width);
            continue;
        }
        const uint16_t *      W           = (const uint16_t *) head_.unpacked() + k;
        static const uint16_t none[PANEL] = {};
        for (int64_t v = 0; v < n; v += 2) {
            kernels().interleave(W + v * K_, v + 1 < n ? W + (v + 1) * K_ : none, panel + v / 2 * width, lanes);
            std::memset(panel + v / 2 * width + lanes, 0, (width - lanes) * sizeof(uint32_t));
        }
    }
}

void HeadGroup::add(const float * c, int64_t n, float * dx) {
    const int64_t count = head_.count(), width = head_.width();
    if (!head_.bf16()) {
        // A sum of its own for each group: one chain of additions over the whole vocabulary
        // would lose three digits, and what the rows of W have in common cancels in the end.
        product_f32(n, K_, count, c, width, (const float *) panels_, stride(), sum_, K_, false);
        for (int64_t i = 0; i < n; i++) {
            kernels().axpy(dx + i * K_, sum_ + i * K_, (int) K_, 1);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        kernels().to_bf16(c + i * width, rounded(i), count);
    }
    add_rounded(n, dx);
}

void HeadGroup::add_rounded(int64_t n, float * dx) {
    const int64_t count = head_.count(), width = head_.width();
    for (int64_t i = 0; i < n && count % 2; i++) {
        rounded(i)[count] = 0;
    }
    product_bf16(n, K_, count + count % 2, c_, width, panels_, stride(), dx, K_, true);
}

} // namespace steer
