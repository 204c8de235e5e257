// Shared by the LoRA products.
#pragma once

#include "common.h"

namespace steer {

// Tokens worked on at a time where rows are copied first.
static constexpr int64_t TOKEN_BLOCK = 64;

// The dropout of one site: off if the operation has no seeds or p is 0.
class Dropout {
  public:
    // seeds: I32 [2,T] or null; f[1] = p, i[0] = site.
    Dropout(const ggml_tensor * seeds, const steer_op_params & p, int64_t T);
    bool on() const { return on_; }
    // y (+)= drop(x) for features k0 .. k0+n-1 of token t.
    void apply(int64_t t, int64_t k0, const float * x, float * y, int64_t n, bool accumulate) const;

  private:
    const ggml_tensor * seeds_;
    bool                on_;
    int32_t             site_;
    uint32_t            threshold_;
    float               scale_;
};

// dst[n][width] = the first `cols` of n rows, padded with zeros.
void copy_padded(const float * src, ptrdiff_t lds, int64_t n, int cols, float * dst, int width);

} // namespace steer
