// Shared by linear and linear_back: which arithmetic, and how the work is cut.
#pragma once

#include "weights.h"

namespace steer {

// How the activations of a product are fed to the matrix kernels.
enum class Feed {
    F32,   // exact path
    BF16,  // bf16 dot product
    WIDEN, // bf16 activations on a machine (or a depth) without it: widened to f32
};

Feed feed_of(const ggml_tensor * x, int64_t depth);

// Cuts `panels` pieces of columns times T tokens into units for nth threads: as few
// token chunks as keep the threads evenly busy. Unit u is panel u / chunks, chunk u % chunks.
struct Units {
    int64_t chunks;
    int64_t count;
    Units(int64_t panels, int64_t T, int nth);
};

// Rows [t0, t1) of bf16 x as f32, depth contiguous, in scratch.
const float * widen_rows(const ggml_tensor * x, int64_t t0, int64_t t1);

} // namespace steer
