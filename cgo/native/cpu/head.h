// Shared by the vocabulary heads: the logits of some rows, a group of tokens at a time.
#pragma once

#include "product.h"
#include "weights.h"

namespace steer {

// Target rows of one thread that walk the vocabulary together.
static constexpr int64_t HEAD_ROWS = 256;
// Of these, rows whose logits of one group are held at a time.
static constexpr int64_t HEAD_BLOCK = 56;

class HeadLogits {
  public:
    HeadLogits(const ggml_tensor * W, bool bf16);

    bool    bf16() const { return bf16_; }
    int64_t width() const { return width_; } // vocabulary entries a group, a multiple of PANEL
    int64_t size_of_input(int64_t rows) const { return rows * W_->ne[0] * (bf16_ ? 2 : 4); }

    // x[i] = h[:, rows[i]] in the arithmetic's type, for i < n.
    void gather(const ggml_tensor * h, const int32_t * rows, int64_t n, void * x) const;
    // Unpacks the group that begins at v0.
    void load(int64_t v0);
    // L[i][0..count()) of inputs x[i0 .. i0+n); rows of L are width() apart. Capped, if cap > 0; the slopes
    // of the capping then go to `slopes`, unless null, rows as L's.
    void logits(const void * x, int64_t i0, int64_t n, float * L, float cap, float * slopes = nullptr) const;
    int64_t count() const { return count_; }
    int64_t first() const { return v0_; }
    // Unpacked rows of the group, [count()][n_embd], f32 or bf16.
    const void * unpacked() const { return rows_; }

  private:
    const ggml_tensor * W_;
    bool                bf16_;
    int64_t             width_, v0_ = 0, count_ = 0;
    char *              rows_;
    char *              panels_;
};

// Checks the parameters the head operations share.
bool head_bf16(const ggml_tensor * W, const ggml_tensor * h, const steer_op_params & p);

} // namespace steer
