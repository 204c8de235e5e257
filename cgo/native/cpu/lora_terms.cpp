#include "linear.h"

#include <algorithm>

namespace steer {

LoraTerms::LoraTerms(const ggml_tensor * dst, int at, bool by_column, int64_t t0, int64_t t1) :
    by_column_(by_column), t0_(t0) {
    int64_t widened = 0;
    for (int i = at; i + 1 < GGML_MAX_SRC && dst->src[i]; i += 2) {
        GGML_ASSERT(n_ < MOST);
        Pair & p = pairs_[n_++];
        p.matrix = dst->src[i];
        p.h      = dst->src[i + 1];
        p.rank   = p.matrix->ne[by_column ? 0 : 1];
        p.feed   = feed_of(p.h, p.rank);
        p.rows   = {};
        check_f32(p.matrix, p.matrix->ne[0], p.matrix->ne[1]);
        check_activation(p.h, p.rank, p.h->ne[1]);
        widened += p.feed == Feed::WIDEN ? (t1 - t0) * p.rank : 0;
    }
    float * f = widened ? scratch().get<float>(SLOT_H, widened) : nullptr;
    for (int i = 0; i < n_; i++) {
        Pair & p = pairs_[i];
        if (p.feed == Feed::F32) {
            p.rows = { row_f32(p.h, t0), row_stride(p.h) };
        } else if (p.feed == Feed::WIDEN) {
            p.rows = { f, (ptrdiff_t) p.rank };
            for (int64_t t = t0; t < t1; t++, f += p.rank) {
                kernels().from_bf16((const uint16_t *) row_ptr(p.h, t), f, p.rank);
            }
        }
    }
}

int LoraTerms::add(Term * terms, int64_t c0, int64_t cols) {
    const int64_t panels = (cols + PANEL - 1) / PANEL;
    int64_t       items = 0, most = 0;
    for (int i = 0; i < n_; i++) {
        items += panels * PANEL * pairs_[i].rank;
        most = std::max(most, pairs_[i].rank);
    }
    uint32_t * panel = scratch().get<uint32_t>(SLOT_LORA, items + 1);
    uint32_t * rows  = by_column_ ? scratch().get<uint32_t>(SLOT_LORA_ROWS, PANEL * most + 1) : nullptr;
    for (int i = 0; i < n_; i++) {
        const Pair &  p      = pairs_[i];
        const bool    bf16   = p.feed == Feed::BF16;
        const int64_t stride = PANEL * p.rank / (bf16 ? 2 : 1);
        if (!by_column_ && bf16) {
            panels_of_cols_bf16(p.matrix, 0, p.rank, c0, cols, panel, stride);
        } else if (!by_column_) {
            panels_of_cols_f32(p.matrix, 0, p.rank, c0, cols, (float *) panel, stride);
        }
        for (int64_t c = 0; by_column_ && c < cols; c += PANEL) {
            const int  lanes = (int) std::min<int64_t>(PANEL, cols - c);
            uint32_t * to    = panel + c / PANEL * stride;
            if (bf16) {
                panel_of_rows_bf16(p.matrix, c0 + c, lanes, 0, p.rank, (uint16_t *) rows, to);
            } else {
                panel_of_rows_f32(p.matrix, c0 + c, lanes, 0, p.rank, (float *) rows, (float *) to);
            }
        }
        terms[i] = { bf16, bf16 ? row_ptr(p.h, t0_) : (const void *) p.rows.data, bf16 ? row_stride(p.h) : p.rows.ld,
                     panel, stride, p.rank };
        panel += panels * stride;
    }
    return n_;
}

} // namespace steer
