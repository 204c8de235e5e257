// Shared by the LoRA products.
#pragma once

#include "common.h"

namespace steer {

// Tokens worked on at a time where rows are copied first.
static constexpr int64_t TOKEN_BLOCK = 64;

// The dropout of one site: off if the operation has no seeds or p is 0.
class Dropout {
  public:
    // seeds: I32 [2,T] or null; f[1] = p, i[0] = site. For tokens [t0, t1) only.
    Dropout(const ggml_tensor * seeds, const steer_op_params & p, int64_t T, int64_t t0, int64_t t1);
    bool on() const { return on_; }
    // y (+)= drop(x) for features k0 .. k0+n-1 of token t.
    void apply(int64_t t, int64_t k0, const float * x, float * y, int64_t n, bool accumulate) const {
        kernels().dropout(x, y, (int) n, (uint32_t) k0, keys_[t].a, keys_[t].b, threshold_, scale_, accumulate);
    }

  private:
    bool                      on_;
    uint32_t                  threshold_;
    float                     scale_;
    const steer_dropout_key * keys_ = nullptr; // of each token
};

// Writes columns [j, j + lanes) of tokens [t, t + n) of dst, f32 or bf16: scale * h, rows of h PANEL apart.
void store_scaled(float * h, int64_t n, int lanes, float scale, ggml_tensor * dst, int64_t t, int64_t j);

} // namespace steer
