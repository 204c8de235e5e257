// sample.h: draws tokens from logits.
#pragma once

#include "native.h"

#include <vector>

namespace steer {

// One token to be drawn: from softmax(logits / temperature) cut by top-k, then top-p, then
// min-p (the order of transformers' warpers), by inverting the cumulative distribution at
// the uniform variate. Without cuts the tokens are walked in their order, else from the
// likeliest down.
struct Draw {
    const float * logits;
    double        uniform;
    int32_t       token; // result; -1: no logit is a number
};

// Draws all, on the host's threads. What is drawn depends on logits and variate alone.
void draw_all(steer_device * dev, std::vector<Draw> & draws, int32_t n_vocab, const steer_sampling & sampling);

} // namespace steer
